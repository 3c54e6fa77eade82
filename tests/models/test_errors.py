"""The tree of exceptions is the one that its docstring draws."""

import inspect
import re

import pytest

from models import errors
from models.errors import InputError, VAEError

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and value.__module__ == errors.__name__
]


def test_the_docstring_draws_the_tree_as_it_is():
    drawn, path = {}, []
    for line in errors.__doc__.splitlines():
        found = re.match(r"( {4,})([A-Z]\w+)(\(ValueError\))?(  |$)", line)
        if found:
            depth = len(found[1]) // 2 - 2
            path[depth:] = [found[2]]
            drawn[found[2]] = (path[-2] if depth else "Exception", bool(found[3]))
    actual = {
        cls.__name__: (cls.__bases__[0].__name__, ValueError in cls.__bases__) for cls in CLASSES
    }
    assert drawn == actual


@pytest.mark.parametrize("cls", CLASSES)
def test_one_handler_on_the_root_serves_every_class(cls):
    assert issubclass(cls, VAEError)
    with pytest.raises(VAEError, match="invariant, received, remedy"):
        raise cls("invariant, received, remedy")


@pytest.mark.parametrize("cls", [c for c in CLASSES if issubclass(c, InputError)])
def test_an_input_error_names_its_items(cls):
    error = cls("message", items=((3, "why"),))
    assert error.items == ((3, "why"),)
    assert str(error) == "message"
    assert cls("message").items == ()
