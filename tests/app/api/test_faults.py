"""What a declaration allows is said in words, with one fix."""

from typing import Any

import pytest

from app.api.faults import explain, shown


@pytest.mark.parametrize(
    ("declared", "received", "message", "fix"),
    [
        ({"type": "integer", "minimum": 1, "default": 16}, "0", "p=0 is not a whole number of at "
         "least 1.", "Use p=1."),
        ({"type": "integer", "exclusiveMinimum": 0, "default": 8}, 0, "p=0 is not a whole number "
         "above 0.", "Use p=8."),
        ({"type": "number", "minimum": 0.5, "maximum": 2.0}, 3, "p=3 is not a number from 0.5 to "
         "2.", "Use p=2.0."),
        ({"type": "boolean", "default": False}, "maybe", "p=maybe is not true or false.",
         "Use p=false."),
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, [1], "p=[1] is not a "
         "whole number of at least 1.", "Leave it out."),
        ({"anyOf": [{"const": "threshold"}, {"type": "null"}]}, "x", "p=x is not threshold.",
         "Leave it out."),
        ({"enum": ["iwae", "prior"], "default": "iwae"}, "iwea", "p=iwea is not one of iwae, "
         "prior.", "Did you mean 'iwae'?"),
        ({"type": "array", "default": []}, "a b", "p='a b' is not a list.", "Use p=[]."),
        ({"type": "string", "maxLength": 3}, "long", "p=long is not text of at most 3 characters.",
         "Leave it out."),
        ({"type": "string"}, None, "p=null is not text.", "Leave it out."),
    ],
)  # fmt: skip
def test_a_refused_value_is_explained(
    declared: dict[str, Any], received: Any, message: str, fix: str
) -> None:
    fault = explain("p", received, declared)
    assert (fault.message, fault.fix) == (message, fix)
    assert fault.details["parameter"] == "p"
    assert fault.details["received"] == received


def test_a_flag_is_written_as_a_command_has_it() -> None:
    fault = explain("--n", "0", {"type": "integer", "minimum": 1}, assign="{} {}")
    assert f"{fault.message} {fault.fix}" == "--n 0 is not a whole number of at least 1. Use --n 1."


def test_values_are_shown_short() -> None:
    assert shown("x" * 100) == "x" * 60 + "..."
    assert shown("") == "''"
    assert shown({"a": 1}) == "'{\"a\": 1}'"
