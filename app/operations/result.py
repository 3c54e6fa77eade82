"""What an operation computed, before it is rendered in a format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.warnings import Warned


@dataclass(slots=True)
class Answer:
    """What an operation computed: numbers and texts by the names of the answer's fields."""

    columns: Mapping[str, Any]
    """Arrays and lists with an entry for each item."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Values that all items share."""
    warnings: Sequence[Warned] = ()
    """What is doubtful about the items, in their order."""
