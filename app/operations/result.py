"""What an operation computed: numbers and words, in no form yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What an operation computed: numbers and words, in no form yet."""

    columns: Mapping[str, Any]
    """Arrays and lists whose first axis is the items."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What is said once for all items."""
