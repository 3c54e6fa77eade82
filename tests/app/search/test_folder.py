"""An index on disk: written whole or not at all, and refused where it is damaged or of another."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.search.folder import (
    IndexedModel,
    Item,
    SearchIndex,
    check_same_model,
    make_index,
    read_index,
    write_index,
)
from models.errors import ConfigError
from models.files import search

MODEL = IndexedModel(name="mnist", version=1, digest="a" * 64)


def index_of(count: int, seed: int = 0) -> SearchIndex:
    items = [Item(file=f"{i}.png", sha256=f"{i:064x}") for i in range(count)]
    means = np.random.default_rng(seed).normal(size=(count, 3))
    return make_index(MODEL, {"invert": "true"}, Path("/photos"), items, means)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    index = index_of(4)
    write_index(tmp_path / "index", index)
    found = read_index(tmp_path / "index")
    assert found.description == index.description
    assert found.means.dtype == np.float32
    np.testing.assert_array_equal(found.means, index.means)
    assert len(found) == 4
    assert found.place_of(found.items[1]) == Path("/photos/1.png")
    assert found.rows_by_content() == {f"{i:064x}": i for i in range(4)}


def test_a_writer_that_was_killed_leaves_the_old_index(tmp_path: Path) -> None:
    old, new = index_of(4), index_of(5, seed=1)
    write_index(tmp_path, old)
    write_index(tmp_path / "elsewhere", new)
    name = new.description.embeddings
    (tmp_path / "elsewhere" / name).rename(tmp_path / name)  # its array alone was written
    np.testing.assert_array_equal(read_index(tmp_path).means, old.means)
    write_index(tmp_path, index_of(6, seed=2))
    assert len(read_index(tmp_path)) == 6
    assert len(list(tmp_path.glob("embeddings-*.npy"))) == 1


def test_a_search_for_pictures_does_not_look_into_an_index(tmp_path: Path) -> None:
    write_index(tmp_path / "index", index_of(2))
    found = search(tmp_path)
    assert found.files == []
    assert found.left_out == [(tmp_path / "index", "the folder of a search index")]


def change(**members: object) -> Callable[[Path], object]:
    """Change members of index.json."""

    def damage(folder: Path) -> None:
        path = folder / "index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **members}))

    return damage


def array(folder: Path) -> Path:
    (path,) = folder.glob("embeddings-*.npy")
    return path


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "index.json").unlink(), "holds no index.json"),
        (lambda folder: (folder / "index.json").write_text("{"), "index.json: Invalid JSON"),
        (change(format=2), "format: Input should be 1"),
        (change(items=[]), "items: List should have at least 1 item"),
        (change(items=[{"file": "a", "sha256": "b"}]), "it lists 1 pictures, and its array has 4"),
        (change(embeddings="../secret.npy"), "embeddings: String should match"),
        (lambda folder: array(folder).unlink(), "No such file"),
        (lambda folder: array(folder).write_bytes(b""), "is not the file that was written"),
        (lambda folder: np.save(array(folder), np.zeros((4, 9))), "is not the file that was"),
    ],
)
def test_a_damaged_index_is_refused_with_a_way_to_make_it_again(
    tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    write_index(tmp_path, index_of(4))
    damage(tmp_path)
    with pytest.raises(ConfigError) as refusal:
        read_index(tmp_path)
    assert says in str(refusal.value)
    assert f"vae index photos/ -o {tmp_path}" in str(refusal.value)


def test_another_model_or_other_weights_are_refused(tmp_path: Path) -> None:
    index = index_of(1)
    check_same_model(index, MODEL, tmp_path)
    other = MODEL.model_copy(update={"name": "digits"})
    with pytest.raises(ConfigError, match="holds latents of mnist 1, and this model is digits 1"):
        check_same_model(index, other, tmp_path)
    changed = MODEL.model_copy(update={"digest": "b" * 64})
    with pytest.raises(ConfigError, match="weights of mnist 1 have changed since") as refusal:
        check_same_model(index, changed, tmp_path)
    assert f"vae index photos/ -o {tmp_path} --model mnist" in str(refusal.value)
