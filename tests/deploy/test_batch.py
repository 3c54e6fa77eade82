"""`vae-lab batch`: rows of the service, whatever the blocks, workers, kills and places."""

import json
import pickle
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.operations.table import OPERATIONS
from deploy.batch.job import MANIFEST, Job
from deploy.batch.output import SKIPPED, missing_blocks
from deploy.batch.places import find_place
from deploy.batch.worker import Setup, Worker
from tests.app.repository import SIDE, make_repository
from tests.training.vae_lab import exit_code
from vae_client.sources import Source

pyarrow = pytest.importorskip("pyarrow", reason="vae-lab batch needs pyarrow")
dataset = pytest.importorskip("pyarrow.dataset")
fs = pytest.importorskip("pyarrow.fs")

COUNT = 7


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(repository))
    monkeypatch.setenv("VAE_COMPUTE_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE), dtype=np.uint8)


def batch(*arguments: str) -> int:
    return exit_code("batch", *arguments, "--workers", "1")


def rows_of(folder: str | Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        dataset.dataset(str(folder), format="parquet").to_table().to_pylist()
    )
    return rows


def of_the_service(
    operation: str, pictures: np.ndarray, *, model: str = "mnist", **query: str
) -> dict[str, np.ndarray]:
    """The fields of one request for all pictures."""
    worker = Worker(model, None, Setup(None, request_items=100, threads=1))
    try:
        source = Source(tuple(map(str, range(len(pictures)))), array=pictures)
        answer: dict[str, np.ndarray] = worker._run(
            worker.client.call("POST", operation, {**query, "pixel_max": "255"}, source)
        )
    finally:
        worker.close()
    return answer


def save_pngs(folder: Path, pictures: np.ndarray) -> None:
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.png")


def test_rows_are_the_services_whatever_the_blocks_and_passes(pictures: np.ndarray) -> None:
    np.save("pictures.npy", pictures)
    options = ["-m", "mnist", "--seed", "3", "--set", "num_samples=5"]
    for out, block, passes in ("a", "3", "2"), ("b", "100", "100"):
        assert (
            batch(
                "score",
                "pictures.npy",
                "-o",
                out,
                *options,
                "--block",
                block,
                "--batch-size",
                passes,
            )
            == 0
        )
    a, b = rows_of("a"), rows_of("b")
    assert a == b
    assert [row["item"] for row in a] == list(range(COUNT))
    assert [row["file"] for row in a] == [f"pictures.npy[{i}]" for i in range(COUNT)]
    wanted = of_the_service("elbo", pictures, seed="3", num_samples="5")
    for name in ("elbo_nats", "standard_error_nats", "kl_per_dimension_nats"):
        assert [row[name] for row in a] == wanted[name].tolist()
    assert {row["error"] for row in a} == {None}
    (file,) = Path("b").glob("*.parquet")
    shared = json.loads(pyarrow.parquet.read_schema(file).metadata[b"vae_serve"])
    assert (shared["model"], shared["version"], shared["seed"]) == ("mnist", 2, 3)


def test_what_cannot_be_read_has_an_error_and_moves_no_other_row(
    pictures: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    save_pngs(Path("photos"), pictures)
    Path("photos/3.png").write_bytes(Path("photos/3.png").read_bytes()[:60])
    Path("photos/4.png").write_bytes(b"")
    Path("photos/notes.txt").write_text("no picture")
    assert batch("encode", "photos", "-o", "out", "-m", "mnist", "--seed", "1", "--block", "3") == 0
    said = capsys.readouterr().out
    assert "Left out: photos/notes.txt: not a picture or array" in said
    assert (
        f"Wrote {COUNT} rows in 3 files to out. 2 have no answer: out/{SKIPPED} says why." in said
    )
    rows, wanted = rows_of("out"), of_the_service("encode", pictures, seed="1")
    for row in rows:
        if row["item"] in (3, 4):
            assert row["mean"] is None
            assert row["error"]
        else:
            assert row["mean"] == wanted["mean"][row["item"]].tolist()
    listed = Path("out", SKIPPED).read_text()
    assert "photos/3.png" in listed
    assert "photos/4.png" in listed


def test_a_file_of_errors_alone_has_the_same_columns(pictures: np.ndarray) -> None:
    save_pngs(Path("photos"), pictures[:2])
    Path("photos/0.png").write_bytes(b"")
    assert batch("score", "photos", "-o", "out", "-m", "mnist", "--block", "1") == 0
    schemas = [pyarrow.parquet.read_schema(file) for file in sorted(Path("out").glob("*.parquet"))]
    assert schemas[0].equals(schemas[1])
    assert rows_of("out")[0]["elbo_nats"] is None


def test_a_batch_goes_on_where_it_was_and_keeps_its_seed(
    pictures: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("pictures.npy", pictures)
    command = ["score", "pictures.npy", "-o", "out", "-m", "mnist", "--block", "2"]
    assert batch(*command) == 0
    rows, kept = rows_of("out"), Path("out/part-000000.parquet").stat().st_mtime_ns
    Path("out/part-000001.parquet").unlink()
    capsys.readouterr()
    assert batch(*command) == 0
    assert "3 of 4 files are there already." in capsys.readouterr().out
    assert rows_of("out") == rows
    assert Path("out/part-000000.parquet").stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--seed", "2"], "what is asked for (--set, --seed) is {'seed': '2'} here"),
        (["--block", "3"], "--block is 3 here and was 2"),
        (["-m", "mnist-labelled"], "the model is 'mnist-labelled' here and was 'mnist'"),
    ],
)
def test_results_of_another_job_are_not_mixed(
    changed: list[str], words: str, pictures: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("pictures.npy", pictures[:2])
    command = ["score", "pictures.npy", "-o", "out", "-m", "mnist", "--block", "2", "--seed", "1"]
    assert batch(*command) == 0
    assert batch(*command, *changed) == 1
    assert words in capsys.readouterr().err


def test_faults_of_a_command_are_said_before_a_folder_is_made(
    pictures: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("pictures.npy", pictures)
    Path("full").mkdir()
    Path("full/a.txt").touch()
    Path("damaged").mkdir()
    Path("damaged", MANIFEST).write_text("{")
    out = ["-o", "out", "-m", "mnist"]
    for words, *command in (
        (
            "does not decode. Did you mean 'encode'? Allowed: score, ",
            "decode",
            "pictures.npy",
            *out,
        ),
        ("Did you mean 'encode'?", "encod", "pictures.npy", *out),
        ("The results need a folder. Name one: --out results.parquet", "score", "pictures.npy"),
        ("elbo has no such parameter", "score", "pictures.npy", *out, "--set", "draws=3"),
        ("num_samples", "score", "pictures.npy", *out, "--set", "num_samples=no"),
        ("encode needs an input", "encode", *out),
        ("There is no file 'none'", "score", "none", *out),
        ("cannot be opened", "score", "no-such://a", *out),
        ("holds no picture and no .parquet file", "score", "fsspec+memory://none", *out),
        (
            "full holds other files (a.txt, ...)",
            "score",
            "pictures.npy",
            "-o",
            "full",
            "-m",
            "mnist",
        ),
        ("is damaged", "score", "pictures.npy", "-o", "damaged", "-m", "mnist"),
    ):
        assert batch(*command) == 1, command
        assert words in " ".join(capsys.readouterr().err.split()), command
    assert not Path("out").exists()


def test_samples_are_pictures_that_a_batch_reads_again_here_and_in_a_store(
    pictures: np.ndarray,
) -> None:
    sample = ["sample", "--n", "5", "--seed", "1", "-m", "mnist", "--block", "3"]
    assert batch(*sample, "-o", "here.parquet") == 0
    assert batch(*sample, "-o", "fsspec+memory://store/samples") == 0
    rows = rows_of("here.parquet")
    place = find_place("fsspec+memory://store/samples")
    stored = dataset.dataset(place.path, filesystem=place.system, format="parquet").to_table()
    assert stored.to_pylist() == rows
    assert [row["image"]["path"] for row in rows] == [f"{i:09d}.png" for i in range(5)]
    again = np.stack([np.array(Image.open(BytesIO(row["image"]["bytes"]))) for row in rows])
    for source, out in ("here.parquet", "a"), ("fsspec+memory://store/samples", "b"):
        assert batch("encode", source, "-o", out, "-m", "mnist", "--seed", "1") == 0
        wanted = of_the_service("encode", again, seed="1")["mean"].tolist()
        assert [row["mean"] for row in rows_of(out)] == wanted
    place.system.create_dir("/store/photos")
    for i, picture in enumerate(pictures[:2]):
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        find_place("fsspec+memory://store/photos").write(f"{i}.png", buffer.getvalue())
    assert (
        batch("encode", "fsspec+memory://store/photos", "-o", "c", "-m", "mnist", "--seed", "1")
        == 0
    )
    wanted = of_the_service("encode", pictures[:2], seed="1")["mean"].tolist()
    assert [row["mean"] for row in rows_of("c")] == wanted


def test_workers_get_the_items_as_they_were_listed(pictures: np.ndarray) -> None:
    save_pngs(Path("photos"), pictures)
    np.save("pictures.npy", pictures)
    contents = [Path(f"photos/{i}.png").read_bytes() for i in range(COUNT)]
    pyarrow.parquet.write_table(pyarrow.table({"image": contents}), "cells.parquet")
    store = find_place("fsspec+memory://listed")
    store.system.create_dir("/listed")
    for i, content in enumerate(contents):
        store.write(f"{i}.png", content)
    worker = Worker("mnist", None, Setup(None, request_items=100, threads=1))
    try:
        for text in ("photos", "pictures.npy", "cells.parquet", "fsspec+memory://listed"):
            items = worker.items(text, OPERATIONS["encode"], n=1)
            sent = pickle.dumps(items)
            if text == "photos":  # what comes later is no item
                Path("photos/00.png").write_bytes(contents[0])
            got = pickle.loads(sent)
            assert (got.count, got.fingerprint()) == (items.count, items.fingerprint()), text
            wanted, found = items.read(1, 3), got.read(1, 3)
            assert (found.labels, found.pictures) == (wanted.labels, wanted.pictures), text
            assert np.array_equal(found.array, wanted.array), text
    finally:
        worker.close()


def test_rows_of_a_table_are_named_by_its_column_of_names(pictures: np.ndarray) -> None:
    buffers = []
    for picture in pictures:
        buffers.append(BytesIO())
        Image.fromarray(picture).save(buffers[-1], "PNG")
    names = [f"cell {i}" for i in range(COUNT)]
    rows = pyarrow.table({"id": names, "image": [one.getvalue() for one in buffers]})
    pyarrow.parquet.write_table(rows, "cells.parquet", row_group_size=2)
    assert batch("encode", "cells.parquet", "-o", "out", "-m", "mnist", "--block", "3") == 0
    assert [row["file"] for row in rows_of("out")] == names


@pytest.mark.slow
def test_killed_batches_of_several_processes_end_with_the_same_rows(
    pictures: np.ndarray, repository: Path
) -> None:
    np.save("pictures.npy", np.concatenate([pictures] * 40))
    command = ["score", "pictures.npy", "-m", "mnist", "--seed", "1", "--block", "10"]
    assert batch(*command, "-o", "whole") == 0
    kill_early([*command, "-o", "killed", "--workers", "2"], "killed")
    assert batch(*command, "-o", "killed") == 0
    assert rows_of("killed") == rows_of("whole")


def kill_early(command: list[str], out: str) -> None:
    """Run a batch in a process of its own, and kill it once its first file is there."""
    words = [sys.executable, "-m", "training", "batch", *command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(Path(out).glob("*.parquet")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    job = Job(**{k: v for k, v in _manifest(out).items() if k in Job.__dataclass_fields__})
    assert 0 < len(missing_blocks(find_place(out), job)) < job.num_blocks


def _manifest(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, MANIFEST).read_text())
    return found


def test_without_pyarrow_or_ray_the_command_says_what_to_install(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("pictures.npy", pictures)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    assert batch("score", "pictures.npy", "-o", "a", "-m", "mnist", "--engine", "ray") == 1
    assert "Run pip install 'ray[data]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    assert batch("score", "pictures.npy", "-o", "b", "-m", "mnist") == 1
    assert "Run pip install pyarrow." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_actors_of_ray_write_the_same_rows_after_a_kill_too(
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="--engine ray needs Ray: pip install 'ray[data]'")
    np.save("pictures.npy", np.concatenate([pictures] * 40))
    command = ["score", str(Path("pictures.npy").resolve()), "-m", "mnist", "--seed", "1"]
    command += ["--block", "10"]
    assert batch(*command, "-o", "here") == 0
    out = str(Path("actors").resolve())
    kill_early([*command, "-o", out, "--engine", "ray", "--workers", "1"], out)
    try:
        assert batch(*command, "-o", out, "--engine", "ray") == 0
    finally:
        ray.shutdown()
    assert rows_of(out) == rows_of("here")
