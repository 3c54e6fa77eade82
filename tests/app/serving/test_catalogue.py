"""Models by their configs: what a list says of each, and why one is broken."""

import shutil
from pathlib import Path

import pytest

from app.serving.catalogue import best_bits_per_dim, choose_default, list_bundles
from models.errors import BundleNotFound
from tests.app.repository import make_repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_repository(tmp_path / "models")
    return tmp_path / "models"


def test_weights_are_not_read_and_a_damaged_config_is_named(folder: Path) -> None:
    whole = {one.name: one for one in list_bundles(folder)}
    assert whole["mnist"].default
    weights = folder / "mnist" / str(whole["mnist"].version) / "model.safetensors"
    weights.write_bytes(b"x" * weights.stat().st_size)
    assert {one.name: one for one in list_bundles(folder)} == whole
    weights.write_bytes(b"x")
    config = folder / "colour" / str(whole["colour"].version) / "config.json"
    config.unlink()
    (folder / "Bad").mkdir()
    listed = {one.name: one for one in list_bundles(folder)}
    assert str(folder) not in str(listed)
    assert "has a size of 1 bytes" in str(listed["mnist"].reason)
    assert "lacks config.json" in str(listed["colour"].reason)
    assert "is no model's" in str(listed["Bad"].reason)
    assert [one.status for one in list_bundles(folder)] == ["found"] * 3 + ["broken"] * 3
    (default,) = (one for one in list_bundles(folder) if one.default)
    assert (default.name, default.version) == ("mnist", 1)
    assert whole["colour"].colour
    assert listed["oracle"] == whole["oracle"]


def test_a_file_that_cannot_be_read_is_that_models_fault_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def locked(path: Path) -> bytes:
        if path.parent.parent.name == "colour":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", locked)
    (broken,) = (one for one in list_bundles(folder) if one.status == "broken")
    assert broken.name == "colour"
    assert str(broken.reason).startswith("<repository>/colour/")
    assert "Permission denied" in str(broken.reason)


def test_models_that_are_not_loaded_are_said_to_be(folder: Path) -> None:
    states = {one.name: one.status for one in list_bundles(folder, load_models=["oracle"])}
    assert states["oracle"] == "found"
    assert {status for name, status in states.items() if name != "oracle"} == {"unloaded"}


def test_the_default_is_the_one_asked_for_or_mnist_or_the_only_one(folder: Path) -> None:
    assert choose_default("b", ["a", "mnist"], complete=True) == "b"
    assert choose_default(None, ["a", "mnist"], complete=True) == "mnist"
    assert choose_default(None, ["a"], complete=True) == "a"
    assert choose_default(None, ["a"], complete=False) is None
    assert choose_default(None, ["a", "b"], complete=True) is None
    (default,) = (one for one in list_bundles(folder, default_model="oracle") if one.default)
    assert default.name == "oracle"


def test_an_empty_repository_is_an_error(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(BundleNotFound, match="holds no bundles"):
        list_bundles(folder)
    with pytest.raises(BundleNotFound, match="cannot be read"):
        list_bundles(folder / "nowhere")


def test_bits_per_dim_are_those_of_the_most_images_and_then_samples() -> None:
    few, many = ({"n": 10, "num_samples": k, "bits_per_dim": b} for k, b in ((1, 3.0), (100, 2.5)))
    subset = {"n": 5, "num_samples": 5000, "bits_per_dim": 2.0}
    assert best_bits_per_dim([few, many, subset]) == 2.5
    assert best_bits_per_dim([]) is None
