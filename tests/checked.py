"""The checker of types while tests run: beartype, for functions that are made once."""

from collections.abc import Callable
from typing import TypeVar

from beartype import beartype

F = TypeVar("F", bound=Callable[..., object])


def checked(function: F) -> F:
    """Check a function's arguments and result, unless it is made inside another one.

    Such a function would be compiled anew at each call of the outer one, which takes milliseconds:
    a fifth of the time of tests that ask a prior at each step.
    """
    return function if "<locals>" in function.__qualname__ else beartype(function)
