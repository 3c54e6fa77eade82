"""Folders as they are: every readable file has its row, the others are named."""

from pathlib import Path

import numpy as np
import pytest

from tests.app.cli.command_cases import Vae, done, failure, rows, write_pictures
from tests.app.pictures import binary, encoded, npy, read_npz, read_picture
from tests.app.repository import (
    SIDE,
)
from tests.app.server_process import Served, serving

pytestmark = pytest.mark.slow


def write_folder(folder: Path) -> None:
    """Three pictures, a damaged one, an array with one bad row, and what is no picture."""
    write_pictures(folder)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (folder / "LICENSE").write_text("words")
    numbers = (binary(3) > 0).astype(np.float32)
    numbers[1, 0, 0] = np.nan
    (folder / "rows.npy").write_bytes(npy(numbers))


@pytest.mark.parametrize("by_url", [False, True])
def test_a_folder_gives_a_row_for_each_readable_file_and_names_the_others(
    vae: Vae,
    served: Served,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    by_url: bool,
) -> None:
    write_folder(tmp_path / "in")
    where = ["--url", served.url] if by_url else []
    code, message = failure(capsys, monkeypatch, "elbo", "in", "--seed", "1", "-o", "s.csv", *where)
    names = ["in/0.png", "in/1.png", "in/2.png", "in/rows.npy[0]", "in/rows.npy[2]"]
    table = rows((tmp_path / "s.csv").read_text())
    assert code == 1
    assert [row["file"] for row in table] == names
    assert "Left out: in/LICENSE: not a picture or array" in message
    assert "Failed: in/bad.png: The PNG picture is damaged" in message
    assert "Failed: in/rows.npy[1]: " in message
    assert "2 of 7 items could not be read; the other 5 were written. Use --strict" in message

    write_pictures(tmp_path / "good")
    expected = rows(done(vae("elbo", "good", "--seed", "1")).stdout)
    assert [row["elbo_nats"] for row in table[:3]] == [row["elbo_nats"] for row in expected]


@pytest.mark.parametrize("operation", ["encode", "reconstruct", "classify", "log-likelihood"])
def test_every_operation_that_takes_images_leaves_a_broken_one_out(
    vae: Vae, tmp_path: Path, operation: str
) -> None:
    write_folder(tmp_path / "in")
    result = vae(operation, "in", "--model", "mnist-labelled", "-o", "out.npz")
    assert "2 of 7 items could not be read" in str(result.exception)
    assert len(read_npz((tmp_path / "out.npz").read_bytes())["files"]) == 5


def test_a_strict_command_writes_nothing_when_one_file_is_broken(vae: Vae, tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    result = vae("elbo", "in", "--strict", "-o", "s.csv")
    assert "in/bad.png: The PNG picture is damaged" in str(result.exception)
    assert not (tmp_path / "s.csv").exists()


def test_a_folder_of_broken_files_alone_is_refused_by_their_names(vae: Vae, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    message = str(vae("elbo", "in").exception)
    assert message.startswith("None of the 2 inputs could be read:\n  in/a.png: The PNG picture")
    (tmp_path / "empty.png").touch()
    assert str(vae("elbo", "empty.png").exception) == "empty.png: an empty file (0 bytes)."


def test_of_many_files_left_out_the_first_are_named_and_the_rest_are_counted(
    vae: Vae, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in", 1)
    for i in range(23):
        (tmp_path / "in" / f"{i:02d}.txt").write_text("words")
    result = done(vae("encode", "in", "-o", "z.csv"))
    assert result.stderr.count("Left out: in/") == 20
    assert "Left out: 3 more." in result.stderr


def test_an_interpolation_stops_at_a_broken_end(vae: Vae, tmp_path: Path) -> None:
    write_folder(tmp_path / "in")
    result = vae("interpolate", "in/0.png", "in/bad.png", "-o", "x.png")
    assert "in/bad.png: The PNG picture is damaged" in str(result.exception)


def test_an_interpolation_has_two_ends_of_one_kind(vae: Vae, tmp_path: Path) -> None:
    first, *_ = write_pictures(tmp_path / "in")
    (tmp_path / "one.npy").write_bytes(npy(binary(1)))
    (tmp_path / "two.npy").write_bytes(npy(binary(2)))
    for inputs, words in (
        ([str(first)], "1 items in 1 files are named"),
        (["in"], "3 items in 3 files are named"),
        ([str(first), "one.npy"], "2 items in 2 files are named"),
    ):
        message = str(vae("interpolate", *inputs, "-o", "x.png").exception)
        assert "interpolate takes 2 pictures, or an array of as many rows; " in message
        assert words in message
    done(vae("interpolate", "two.npy", "-o", "x.png"))


def test_an_interpolation_is_one_row_of_pictures(vae: Vae, tmp_path: Path) -> None:
    first, second = write_pictures(tmp_path / "in", 2)
    asked = ("interpolate", str(first), str(second), "--steps", "5")
    done(vae(*asked, "-o", "row.png"))
    done(vae(*asked, "-o", "grid.png", "--columns", "3"))
    row, grid = (read_picture((tmp_path / name).read_bytes()) for name in ("row.png", "grid.png"))
    assert row.shape == (SIDE + 4, 5 * SIDE + 12)
    assert grid.shape == (2 * SIDE + 6, 3 * SIDE + 8)


def test_large_files_go_in_several_requests_of_a_small_service(
    repository: Path, tmp_path: Path, vae: Vae
) -> None:
    (tmp_path / "in").mkdir()
    picture = encoded(binary(1)[0])
    for i in range(6):
        (tmp_path / "in" / f"{i}.png").write_bytes(picture + bytes(30_000))
    (tmp_path / "in" / "large.png").write_bytes(picture + bytes(200_000))
    with serving(repository, tmp_path / "log", "--max-body-bytes", "100000") as server:
        result = vae("elbo", "in", "--url", server.url, "-o", "s.csv", "--seed", "1")
    assert "1 of 7 items could not be read; the other 6 were written" in str(result.exception)
    assert "Failed: in/large.png: " in result.stderr
    assert "VAE_MAX_BODY_BYTES" in result.stderr
    assert len(rows((tmp_path / "s.csv").read_text())) == 6


def test_a_repository_is_named_for_one_command(
    vae: Vae, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAE_MODEL_REPOSITORY")
    assert "oracle" in done(vae("models", "--model-repository", str(repository))).stdout
    done(vae("sample", "--model-repository", str(repository), "-m", "oracle", "--n", "1"))
    both = vae("models", "--model-repository", str(repository), "--url", "http://127.0.0.1:9")
    assert "and http://127.0.0.1:9 is another one (--url or VAE_URL)" in str(both.exception)
    nowhere = vae("models", "--model-repository", "/nowhere")
    assert "/nowhere does not exist." in str(nowhere.exception)


def test_a_folder_of_pgms_is_scored(vae: Vae, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(binary(3)):
        (tmp_path / "in" / f"{number}.pgm").write_bytes(encoded(picture, "PPM"))
    table = rows(done(vae("encode", "in")).stdout)
    assert [Path(row["file"]).name for row in table] == ["0.pgm", "1.pgm", "2.pgm"]
