"""A recipe in the making: the user's entries, completed decision by decision, with the reasons.

`choose.py` makes the decisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import ConfigError
from training.recipes.asked import Asked


@dataclass(frozen=True)
class Reason:
    """One decision: its subject, the choice and the reason."""

    subject: str
    choice: str
    because: str

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.subject}: {self.choice}, because {self.because}."


@dataclass
class Draft:
    """A recipe in the making; entries that the user set are never changed."""

    values: dict[str, Any]
    asked: Asked = field(default_factory=Asked)
    reasons: dict[str, list[Reason]] = field(default_factory=dict)

    def fill(self, entries: Mapping[str, Any]) -> bool:
        """Set the entries that are not set yet; returns whether there were any."""
        return _fill(self.values, entries)

    def decide(self, table: str, reason: Reason, **entries: object) -> None:
        """Fill a table; the reason is kept unless the user had set all of it."""
        if self.fill({table: entries}):
            self.reasons.setdefault(table, []).append(reason)

    def get(self, *keys: str) -> Any:
        """An entry by its keys; None where it is not set."""
        value: Any = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> int:
        """An entry that is a whole number above 0; 0 where it is not set.

        Raises:
            ConfigError: The user set it to something else.
        """
        value = self.get(*keys)
        if value is None:
            return 0
        if not isinstance(value, int) or value <= 0:
            key = ".".join(keys)
            raise ConfigError(
                f"{key} = {value!r} is not allowed. Allowed: whole number > 0.",
                parameter=key,
                received=value,
            )
        return value

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the model's pictures; 0 for one that is not set yet."""
        return self.number("image", "height"), self.number("image", "width")

    @property
    def has_colour(self) -> bool:
        """Whether the model's pictures are RGB."""
        return self.number("image", "channels") == 3


def _fill(values: dict[str, Any], entries: Mapping[str, Any]) -> bool:
    if values.get("kind", entries.get("kind")) != entries.get("kind"):
        return False  # the user set another kind, which has other entries
    before = len(values)
    for key, entry in entries.items():
        values.setdefault(key, entry)
    deeper = [
        _fill(values[key], entry)
        for key, entry in entries.items()
        if isinstance(entry, dict) and isinstance(values[key], dict) and values[key] is not entry
    ]
    return len(values) > before or any(deeper)
