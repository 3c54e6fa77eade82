"""Formats of an answer: what is null, and what JSON and npz hold."""

import json

import numpy as np
import pytest

from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import OPERATIONS
from app.wire.rendering import render, to_json
from tests.app.pictures import npy, read_npz


def test_what_is_not_finite_is_null_in_json() -> None:
    data = to_json({"a": float("nan"), "b": np.array([np.inf, 1.0]), "c": np.float64("-inf")})
    assert json.loads(data) == {"a": None, "b": [None, 1.0], "c": None}


def test_arrays_of_any_order_become_nested_lists() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert json.loads(to_json({"a": array.T})) == {"a": array.T.tolist()}


def test_what_json_has_no_word_for_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        to_json({"a": object()})


def test_null_is_nan_among_numbers_and_empty_among_texts_in_npz() -> None:
    operation = OPERATIONS["elbo"]
    columns = {"percentile": [None, 3.0], "reason": [None, None], "kl_method": ["analytic", None]}
    answer = Answer(columns, facts={"seed": None, "label_used": None})
    arrays = read_npz(render("npz", answer, operation, Rendering(), {"version": 1}))
    assert np.isnan(arrays["percentile"][0])
    assert arrays["reason"].tolist() == ["", ""]
    assert arrays["kl_method"].tolist() == ["analytic", ""]
    assert arrays["version"].item() == 1
    assert arrays["label_used"].item() == ""
    assert "seed" not in arrays


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
        np.arange(12, dtype=">i2")[::2],
        np.zeros((3, 0, 2), np.float32),
        np.array(5.0),
        np.array(["a", "bcd"]),
        np.array([True, False]),
    ],
)
def test_npy_is_what_numpy_saves(array: np.ndarray) -> None:
    answer = Answer({"mean": array})
    assert render("npy", answer, OPERATIONS["encode"], Rendering(), {}) == npy(
        np.ascontiguousarray(array)
    )
