"""The operator's wishes: which models are to be loaded, by the newest command for each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Action = Literal["load", "unload"]


class Target(NamedTuple):
    """What a command is about: a model, or one version of it."""

    name: str
    version: int | None = None

    def covers(self, name: str, version: int | None) -> bool:
        """Whether a version of a model is meant."""
        return name == self.name and self.version in (None, version)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Command:
    """One command and its number."""

    action: Action
    number: int


@dataclass(frozen=True)
class Wishes:
    """The newest command for each target; commands are numbered from 1."""

    commands: Mapping[Target, Command] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of the newest command; 0 where there was none."""
        return max((command.number for command in self.commands.values()), default=0)

    def add(self, action: Action, target: Target) -> "Wishes":
        """The wishes after one more command; those that it covers are forgotten."""
        kept = {t: c for t, c in self.commands.items() if not target.covers(*t)}
        return Wishes({**kept, target: Command(action, self.number + 1)})

    def wants(self, name: str, version: int | None) -> bool | None:
        """Whether a version is to be loaded; None where no command is about it."""
        found = [c for t, c in self.commands.items() if t.covers(name, version)]
        return max(found, key=lambda c: c.number).action == "load" if found else None

    def since(self, number: int) -> Iterator[Target]:
        """Targets of the commands after the one of a number."""
        return (target for target, command in self.commands.items() if command.number > number)
