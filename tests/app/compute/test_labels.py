"""Labels of a request: by name or index, and refusals that name the labels there are."""

from pathlib import Path

import numpy as np
import pytest

from app.compute.inputs import Inputs
from app.compute.labels import check_label, find_label
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.table import OPERATIONS
from app.serving.served_model import ServedModel, serve_bundle
from models.bundle.loading import load_bundle
from models.images.spec import ImageSpec
from tests.app.family_repository import LABELS, SIDE
from tests.app.repository import random_vae, write_bundle
from tests.models.family_cases import family


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model with the labels ant, bee and cat."""
    path = tmp_path_factory.mktemp("labelled")
    image = ImageSpec(channels=1, height=SIDE, width=SIDE, levels=2, binarization="threshold")
    write_bundle(path, "labelled", 1, random_vae(family("labelled")), image, labels=LABELS)
    return serve_bundle(load_bundle(path / "labelled" / "1"), "cpu")


@pytest.mark.parametrize(("text", "index"), [(None, None), ("bee", 1), ("2", 2)])
def test_a_label_is_a_name_or_an_index(
    served: ServedModel, text: str | None, index: int | None
) -> None:
    assert find_label(served, text) == index


@pytest.mark.parametrize(
    ("text", "meant"), [("bea", "bee"), ("Cat", "cat"), ("3", None), ("20", None)]
)
def test_an_unknown_label_is_refused_with_the_labels_there_are(
    served: ServedModel, text: str, meant: str | None
) -> None:
    with pytest.raises(InvalidParameter, match=f"'{text}'.*ant, bee, cat") as refused:
        find_label(served, text)
    details = refused.value.details
    assert (details["parameter"], details["received"]) == ("label", text)
    assert details["allowed"] == [*LABELS]
    assert details.get("suggestion") == meant
    assert meant is None or f"Did you mean '{meant}'?" in str(refused.value)


def test_latents_without_a_label_are_refused_with_one_to_add(served: ServedModel) -> None:
    operation = OPERATIONS["decode"]
    latents = Inputs(latents=np.zeros((1, 2), np.float32))
    request = ComputeRequest(operation, served, operation.parameters(), seed=0, inputs=latents)
    with pytest.raises(InvalidParameter, match=r"label is missing.*Add label=ant.*ant, bee, cat"):
        check_label(request)


def test_a_number_is_no_misspelt_label(tmp_path: Path) -> None:
    image = ImageSpec(channels=1, height=SIDE, width=SIDE, levels=2, binarization="threshold")
    vae = random_vae(family("labelled"))
    write_bundle(tmp_path, "digits", 1, vae, image, labels=("0", "1", "2"))
    digits = serve_bundle(load_bundle(tmp_path / "digits" / "1"), "cpu")
    with pytest.raises(InvalidParameter) as refused:
        find_label(digits, "10")
    assert str(refused.value) == "digits has no label '10'. It has 0, 1, 2."
    assert "suggestion" not in refused.value.details
