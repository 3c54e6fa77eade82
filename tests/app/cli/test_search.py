"""The commands `vae index` and `vae search`: neighbours of pictures in each form, and refusals."""

import json
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from app.search.folder import read_index
from app.serving import loading
from models.bundle import loading as bundle_loading
from models.files import write_whole
from models.images import is_drawn
from tests.app.changing_repository import put
from tests.app.cli.command_cases import Vae, done, failure, rows, write_pictures
from tests.app.pictures import binary, encoded, npy, npz, read_picture
from tests.app.repository import LATENTS
from tests.app.server_process import Served

pytestmark = pytest.mark.slow


def made(text: str) -> tuple[int, int, int]:
    """How many pictures were encoded, kept and dropped."""
    encoded, kept, dropped = re.findall(r"(\d+) (?:encoded|kept|dropped)", text)
    return int(encoded), int(kept), int(dropped)


@pytest.fixture
def indexed(vae: Vae, tmp_path: Path) -> Path:
    """An index of ten pictures."""
    write_pictures(tmp_path / "photos", 10)
    done(vae("index", "photos", "-o", "index", "-m", "mnist"))
    return tmp_path / "index"


def test_embeddings_are_posterior_means_and_neighbours_are_by_their_distance(
    vae: Vae, indexed: Path
) -> None:
    done(vae("encode", "photos", "-o", "z.npy", "-m", "mnist"))
    means = np.load("z.npy")
    index = read_index(indexed)
    np.testing.assert_array_equal(index.means, means)
    assert index.description.model.name == "mnist"
    assert [item.file for item in index.items] == [f"photos/{i}.png" for i in range(10)]
    table = rows(done(vae("search", "photos/3.png", "--index", "index", "--top", "4")).stdout)
    apart = np.linalg.norm(means.astype(np.float64) - means[3], axis=1)
    nearest = np.argsort(apart, kind="stable")[:4]
    assert [row["file"] for row in table] == [f"photos/{i}.png" for i in nearest]
    assert [float(row["distance"]) for row in table] == pytest.approx(apart[nearest])
    assert (table[0]["query"], table[0]["rank"], table[0]["distance"]) == (
        "photos/3.png",
        "1",
        "0.0",
    )
    near = vae("search", "photos/3.png", "--index", "index", "--distance", "cosine", "--top", "2")
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    cosine = np.sort(1 - unit @ unit[3])[:2]
    found = [float(row["distance"]) for row in rows(done(near).stdout)]
    assert found == pytest.approx(cosine, abs=1e-6)


def test_results_come_as_json_as_csv_and_as_a_picture(
    vae: Vae, indexed: Path, tmp_path: Path
) -> None:
    (tmp_path / "query.npy").write_bytes(npy(binary(2, seed=7)))
    printed = json.loads(done(vae("search", "query.npy", "--index", "index", "--json")).stdout)
    assert printed["model"] == read_index(indexed).description.model.model_dump()
    assert [one["query"] for one in printed["results"]] == ["query.npy[0]", "query.npy[1]"]
    assert len(printed["results"][0]["neighbours"]) == 10
    for form in ("json", "csv"):
        done(vae("search", "query.npy", "--index", "index", "-o", f"near.{form}"))
    assert json.loads((tmp_path / "near.json").read_text()) == printed
    listed = rows((tmp_path / "near.csv").read_text())
    assert [row["file"] for row in listed[:10]] == [
        near["file"] for near in printed["results"][0]["neighbours"]
    ]
    command = ("search", "photos/0.png", "--index", "index", "--top", "3", "-o", "near.png")
    done(vae(*command))
    sheet = (tmp_path / "near.png").read_bytes()
    assert is_drawn(sheet)
    shown = read_picture(sheet)
    assert shown.shape[:2] == (100, 394)  # four pictures of 96 pixels
    assert np.array_equal(shown[2:98, 2:98], shown[2:98, 100:196])  # the query is its own nearest
    (tmp_path / "photos" / "0.png").rename(tmp_path / "query.png")
    moved = done(vae("search", "query.png", "--index", "index", "--top", "3", "-o", "near.png"))
    assert "photos/0.png cannot be read any more" in moved.stderr
    assert (read_picture((tmp_path / "near.png").read_bytes())[2:98, 100:196] == 64).all()


def test_rows_of_arrays_are_indexed_found_and_shown(vae: Vae, tmp_path: Path) -> None:
    (tmp_path / "many.npy").write_bytes(npy(binary(5)))
    (tmp_path / "more.npz").write_bytes(npz(images=binary(2, seed=9)))
    done(vae("index", "many.npy", "more.npz", "-o", "index", "-m", "mnist"))
    assert len(read_index(tmp_path / "index")) == 7
    (tmp_path / "q.png").write_bytes(encoded(binary(5)[4]))
    table = rows(done(vae("search", "q.png", "--index", "index", "--top", "1")).stdout)
    assert table[0]["file"] == "many.npy[4]"
    said = done(vae("search", "more.npz", "--index", "index", "-o", "near.png")).stderr
    assert "cannot be read" not in said


def test_an_index_is_brought_up_to_date_by_the_bytes_of_its_pictures(
    vae: Vae, indexed: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    before = read_index(indexed)
    (photos / "0.png").unlink()
    (photos / "1.png").rename(photos / "moved.png")
    (photos / "2.png").write_bytes(encoded(binary(1, seed=5)[0]))
    (photos / "new.png").write_bytes(encoded(binary(1, seed=6)[0]))
    (photos / "copy.png").write_bytes((photos / "new.png").read_bytes())
    again = done(vae("index", "photos", "-o", "index", "-m", "mnist"))
    assert made(again.stderr) == (2, 8, 2)
    after = read_index(indexed)
    files = [item.file for item in after.items]
    assert len(files) == 11
    np.testing.assert_array_equal(after.means[files.index("photos/moved.png")], before.means[1])
    copies = [files.index(f"photos/{name}.png") for name in ("new", "copy")]
    np.testing.assert_array_equal(*after.means[copies])
    assert made(done(vae("index", "photos", "-o", "index", "-m", "mnist")).stderr) == (0, 10, 0)
    anew = done(vae("index", "photos", "-o", "index", "-m", "mnist", "--invert"))
    assert "All is encoded anew" in anew.stderr
    assert made(anew.stderr) == (10, 0, 0)
    assert read_index(indexed).description.parameters == {"invert": "true"}
    found = done(vae("search", "photos/3.png", "--index", "index", "--top", "1"))
    assert rows(found.stdout)[0]["distance"] == "0.0"  # the query is inverted, too


def test_what_cannot_be_read_is_named_and_the_others_are_indexed(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 2)
    (tmp_path / "photos" / "broken.png").write_bytes(encoded(binary()[0])[:60])
    (tmp_path / "photos" / "notes.txt").write_text("not a picture")
    (tmp_path / "photos" / "empty.png").touch()
    result = vae("index", "photos", "-o", "index", "-m", "mnist")
    assert "2 of 4 items could not be read" in str(result.exception)
    assert "Failed: photos/broken.png" in result.stderr
    assert "Failed: photos/empty.png" in result.stderr
    assert len(read_index(tmp_path / "index")) == 2
    strict = vae("index", "photos", "-o", "other", "-m", "mnist", "--strict")
    assert strict.exit_code == 1
    assert not (tmp_path / "other").exists()
    for name in ("broken", "empty"):
        nothing = vae("search", f"photos/{name}.png", "--index", "index")
        assert f"{name}.png" in str(nothing.exception)


def test_a_terminal_gets_a_table(vae: Vae, indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Mock(**{"stdout.isatty.return_value": True})
    monkeypatch.setattr("app.cli.search_command.sys", terminal)
    shown = done(vae("search", "photos/2.png", "--index", indexed.name, "--top", "2")).stdout
    head, first, second = (line.split() for line in shown.splitlines() if line.strip(" ─-"))
    assert head == ["query", "rank", "file", "distance"]
    assert first == ["photos/2.png", "1", "photos/2.png", "0.000"]
    assert second[0] == "2"


def test_changed_weights_and_wrong_outputs_are_refused(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "load_bundle", bundle_loading.load_bundle)  # reads the disk
    repository = tmp_path / "models"
    put(repository, "a", 1)
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(repository))
    write_pictures(tmp_path / "photos", 2)
    done(vae("index", "photos", "-o", "index"))
    put(repository, "a", 1, seed=1)
    search = ("search", "photos/0.png", "--index", "index")
    code, message = failure(capsys, monkeypatch, *search)
    assert code == 1
    assert "the weights of a 1 have changed since" in message
    assert "vae index photos/ -o index --model a" in message
    for arguments, says in (
        (("-o", "near.gif"), "--out near.gif: search writes no such file. Use --out near.csv"),
        (("-o", "near.csv", "--json"), "--json prints on standard output"),
    ):
        assert says in failure(capsys, monkeypatch, *search, *arguments)[1]
    code, message = failure(capsys, monkeypatch, "search", "photos/0.png", "--index", "photos")
    assert "photos is no index" in message
    write_whole(tmp_path / "index" / "index.json", b"{")
    assert "is damaged" in failure(capsys, monkeypatch, *search)[1]
    again = done(vae("index", "photos", "-o", "index")).stderr
    assert "The index index is damaged" in again
    assert "All is encoded anew" in again
    done(vae(*search))


def test_a_service_gives_the_same_neighbours(
    vae: Vae, indexed: Path, served: Served, repository: Path
) -> None:
    done(vae("index", "photos", "-o", "served", "-m", "mnist", "--url", served.url))
    here, there = read_index(indexed), read_index(indexed.with_name("served"))
    assert here.description == there.description
    np.testing.assert_array_equal(here.means, there.means)
    assert here.means.shape == (10, LATENTS)
    command = ("search", "photos", "--index", "served", "--json")
    found = [done(vae(*command, *more)).stdout for more in ((), ("--url", served.url))]
    assert found[0] == found[1]
