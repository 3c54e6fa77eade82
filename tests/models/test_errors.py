"""The tree of exceptions is the one that its docstring draws."""

import inspect
import os
import re

import pytest
from pydantic import ValidationError

from models import errors
from models.errors import InputError, VAEError, closest, describe_invalid, printable
from models.vae_config import VAEConfig

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
    with pytest.raises(VAEError, match="fault, allowed, fix"):
        raise cls("fault, allowed, fix")


@pytest.mark.parametrize("cls", [c for c in CLASSES if issubclass(c, InputError)])
def test_an_input_error_names_its_items(cls):
    error = cls("message", items=((3, "why"),))
    assert error.items == ((3, "why"),)
    assert str(error) == "message"
    assert cls("message").items == ()


def test_details_are_what_was_given():
    error = VAEError("message", parameter="n", received=5000, limit=1024, suggestion="n=1024")
    assert error.details == {
        "parameter": "n",
        "received": 5000,
        "limit": 1024,
        "suggestion": "n=1024",
    }
    assert VAEError("message", allowed=("a", "b")).details == {"allowed": ["a", "b"]}
    assert VAEError("message").details == {}


@pytest.mark.parametrize(
    ("received", "nearest"), [("mnits", "mnist"), ("MNIST", "mnist"), ("faces", None), ("", None)]
)
def test_the_nearest_name_is_found_whatever_its_case(received, nearest):
    assert closest(received, ["digits", "mnist", "mnist-labelled"]) == nearest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"encoder": {"kind": "mpl"}},
            "encoder.kind = 'mpl' is not allowed. Did you mean 'mlp'? Allowed: mlp, gated_mlp, "
            "conv, autoencoder_kl.",
        ),
        (
            {"encoder": {"kind": "x"}},
            "encoder.kind = 'x' is not allowed. Allowed: mlp, gated_mlp, ",
        ),
        ({"num_label": 3}, "num_label is not a field of this config. Remove it, or check its "),
        ({"num_labels": "many"}, "num_labels: Input should be a valid integer"),
        ({"num_labels": 1}, "vae.num_labels = 1 leaves nothing to tell apart."),
    ],
)
def test_a_config_that_is_invalid_is_described_in_a_sentence(fields, message):
    network = {"kind": "mlp"}
    values = {
        "image_shape": (1, 4, 4),
        "latent_shape": (2,),
        "likelihood": {"kind": "bernoulli"},
        "encoder": network,
        "decoder": network,
    }
    with pytest.raises(ValidationError) as caught:
        VAEConfig.model_validate({**values, **fields})
    described = describe_invalid(caught.value)
    assert described.startswith(message)
    assert described.endswith(".")


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("plain é 漢字 [1].png", "plain é 漢字 [1].png"),
        ("a\nb\t\x1b[31m.png", r"a\nb\t\x1b[31m.png"),
        (os.fsdecode(b"bad\xff.png"), r"bad\udcff.png"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028", r"\u2028"),
        ("\ud800\n", r"\ud800\n"),
    ],
)
def test_names_are_printed_with_escapes_for_what_is_no_text(name, printed):
    assert printable(name) == printed


def test_names_of_bytes_that_are_no_text_stay_distinct():
    assert printable(os.fsdecode(b"\xff")) != printable(os.fsdecode(b"\xfe"))
