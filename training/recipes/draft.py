"""A recipe in the making: what was asked for, filled up decision by decision, with the reasons.

It makes no decision itself (`choose.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import ConfigError


@dataclass(frozen=True)
class Reason:
    """One decision: what about, what, and why."""

    subject: str
    choice: str
    because: str

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.subject}: {self.choice}, because {self.because}."


@dataclass
class Draft:
    """A recipe in the making: what was asked for, filled up decision by decision."""

    values: dict[str, Any]
    reasons: dict[str, list[Reason]] = field(default_factory=dict)

    def fill(self, entries: Mapping[str, Any]) -> bool:
        """Set what is not yet set; whether there was anything."""
        return _fill(self.values, entries)

    def decide(self, table: str, reason: Reason, **entries: object) -> None:
        """Fill a table; the reason is kept unless all of it was asked for."""
        if self.fill({table: entries}):
            self.reasons.setdefault(table, []).append(reason)

    def get(self, *keys: str) -> Any:
        """An entry; None where nothing is set."""
        value: Any = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> int:
        """An entry that is a whole number; 0 where nothing is set.

        Raises:
            ConfigError: It was asked for, and is none.
        """
        value = self.get(*keys)
        if value is None:
            return 0
        if not isinstance(value, int) or value <= 0:
            raise ConfigError(
                f"{'.'.join(keys)} is a whole number above 0; received {value!r}. Set another."
            )
        return value

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the model's pictures; 0 while it is open."""
        return self.number("image", "height"), self.number("image", "width")

    @property
    def has_colour(self) -> bool:
        """Whether the model's pictures are RGB."""
        return self.number("image", "channels") == 3


def _fill(values: dict[str, Any], entries: Mapping[str, Any]) -> bool:
    if values.get("kind", entries.get("kind")) != entries.get("kind"):
        return False  # another kind was asked for, and has other entries
    before = len(values)
    for key, entry in entries.items():
        values.setdefault(key, entry)
    deeper = [
        _fill(values[key], entry)
        for key, entry in entries.items()
        if isinstance(entry, dict) and isinstance(values[key], dict) and values[key] is not entry
    ]
    return len(values) > before or any(deeper)
