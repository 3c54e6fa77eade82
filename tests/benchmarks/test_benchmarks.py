"""The benchmarks run and name what they measure; no test looks at a time."""

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from app.serving.served_model import serve_bundle
from app.settings import PRETRAINED
from benchmarks import (
    diffusers_decoding,
    estimates,
    folders,
    media,
    opcodes,
    open_loop,
    overload,
    reaching,
    refinement,
    scoring,
    soak,
    streaming,
    timing,
    training,
    warnings,
)
from benchmarks.memory_limit import enter, memory_limit
from models.bundle.loading import load_bundle
from training.data.array_split import ArraySplit
from training.data.datasets import Dataset, load


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def text_of(*tables: object) -> str:
    """What a reader sees."""
    console = Console(width=120, file=io.StringIO(), record=True)
    for table in tables:
        console.print(table)
    return console.export_text()


def test_scoring_is_measured_beside_its_floor_and_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "IMAGES", 2)
    monkeypatch.setattr(scoring, "SAMPLES", 8)
    text = text_of(*scoring.run(seconds=0, threads=1))
    for name in ("log_px_steps", "estimate_elbo", "floor: decoder", "noise", "accumulation"):
        assert name in text


def test_estimates_are_measured_beside_the_decoder_and_pythae(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimates, "ESTIMATES", ((2, 8),))
    text = text_of(*estimates.run(seconds=0, peers_python=sys.executable, threads=1))
    assert "2, 8" in text  # this Python has no pythae
    assert "nan" in text


def test_codecs_are_measured_beside_their_floors() -> None:
    text = text_of(*media.run(seconds=0, threads=1))
    for name in ("PNG", "npy", "JSON"):
        assert name in text


def test_opcodes_of_every_request_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "WARM_UP", 1)
    monkeypatch.setattr(opcodes, "CONNECTIONS", (2,))
    text = text_of(*opcodes.run(rounds=1))
    for name in ("encode", "decode", "sample", "app/api/answering.py"):
        assert name in text


def test_training_is_measured_beside_a_bare_loop_and_a_dataloader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "COUNT", {"mlp": 60, "conv": 20})
    monkeypatch.setattr(training, "SIZES", (20,))
    tables = list(training.run(quick=True, peers_python=sys.executable, threads=1))
    text = text_of(*tables)
    assert len(tables) == 2
    for name in (
        "mlp, batches of 20",
        "conv, batches of 20",
        "vae-lab train",
        "bare loop",
        "MFLOP",
    ):
        assert name in text


def test_reaching_a_bound_is_measured_beside_pythae(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = (np.random.default_rng(0).random((100, 28, 28)) < 0.1).astype(np.uint8)
    split = ArraySplit(bits, None, levels=2)
    monkeypatch.setattr(reaching, "load", lambda name: Dataset(name, split, split, split, ""))
    monkeypatch.setattr(reaching, "start_pythae", lambda *args, **settings: lambda: (0.5, -300.0))
    for bound, found in ((-400.0, "0.5"), (-200.0, "nan")):
        monkeypatch.setattr(reaching, "BOUND", bound)
        monkeypatch.setattr(reaching, "_MOST_EPOCHS", 4)
        text = text_of(*reaching.run(quick=True, peers_python=sys.executable, threads=1))
        rows = [line for line in text.splitlines() if line.strip(" │┃").startswith("pythae")]
        assert len(rows) == 2
        assert all(found in row for row in rows)


@pytest.mark.slow
def test_starts_on_a_folder_are_measured_with_and_without_a_cache() -> None:
    text = text_of(*folders.run(pictures=40))
    for name in ("without a cache", "first", "second", "with 10 more", "once more"):
        assert f" {name} " in text


@pytest.mark.slow
def test_streaming_is_measured_at_a_tenth_of_the_pictures_and_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "_ROUNDS", 1)
    starts, trainings, *limited = streaming.run(pictures=1_010)
    rows = [str(cell) for cell in starts.columns[0].cells]
    assert rows == ["101, first", "101, second", "1,010, first", "1,010, second"]
    rows = [str(cell) for cell in trainings.columns[0].cells]
    assert rows == ["101, disk", "101, memory", "1,010, disk", "1,010, memory"]
    for table in (starts, trainings):
        memory = [str(cell) for cell in table.columns[-1].cells]
        assert all(float(cell.removesuffix(" MiB").replace(",", "")) > 20 for cell in memory)
    read = [str(cell) for cell in trainings.columns[2].cells]
    assert [bool(cell) for cell in read] == [True, False, True, False]
    for table in limited:  # where a control group can be made
        rows = [str(cell) for cell in table.columns[0].cells]
        assert rows == ["first start", "second start", "training", "training without a limit"]


def test_a_process_in_a_control_group_is_killed_when_it_takes_more_memory_than_its_limit() -> None:
    with memory_limit(64 * 2**20) as group:
        if group is None:
            pytest.skip("no control group can be made here")
        for megabytes, is_over in ((8, False), (200, True)):
            code = f"print(len(bytearray({megabytes} << 20).replace(b'0', b'1')))"
            done = subprocess.run([*enter(group), sys.executable, "-c", code], capture_output=True)
            assert (done.returncode != 0) == is_over
    assert not group.exists()


def test_without_a_control_group_nothing_is_limited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.memory_limit._ROOT", tmp_path)
    with memory_limit(2**30) as group:
        assert group is None
    assert enter(None) == []


def test_shards_hold_so_many_training_pictures_that_pillow_reads_alike(tmp_path: Path) -> None:
    streaming.write_shards(tmp_path / "shards", streaming.SHARD + 3)
    dataset = load(str(tmp_path / "shards"))
    assert len(dataset.train) == streaming.SHARD + 3
    assert dataset.warnings == ()
    picture = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    with Image.open(io.BytesIO(streaming.png(picture))) as opened:
        assert np.array_equal(np.asarray(opened), picture)


def test_sides_take_turns_and_every_second_round_goes_backwards() -> None:
    calls: list[str] = []
    took = timing.interleave(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=0, min_rounds=2
    )
    assert calls == ["a", "b", "b", "a"]
    assert {name: len(values) for name, values in took.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    assert timing.ratio(np.array([2.0, 4.0, 90.0]), np.array([1.0, 2.0, 3.0])).startswith("2.00 ")


def test_arrivals_by_chance_have_the_rate_and_the_spread_of_a_poisson_process() -> None:
    times = open_loop.arrival_times(100.0, 200.0)
    gaps = np.diff(times)
    assert times[0] >= 0
    assert times[-1] < 200
    assert gaps.min() >= 0
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_goodput_counts_the_200s_that_came_while_the_load_lasted() -> None:
    records = np.array(
        [
            (at, seconds, outcome, 0.0, 0.0)
            for at, seconds, outcome in (
                *((0.0, 1.0, 200), (1.0, 0.5, 503), (9.0, 0.5, 200)),
                *((9.5, 1.0, 200), (2.0, 4.0, 0)),
            )
        ],
        dtype=open_loop.RECORD,
    )
    assert overload.goodput(records, 10.0) == pytest.approx(0.2)


def test_growth_is_the_slope_of_a_line_per_1000_requests() -> None:
    readings = [soak.Reading(n, 300 + 0.002 * n, 7, 20) for n in range(0, 5000, 500)]
    assert soak.slope(readings, "resident_mib") == pytest.approx(2.0)
    assert soak.slope(readings, "threads") == pytest.approx(0.0, abs=1e-9)


def test_a_table_is_printed_in_markdown() -> None:
    made = timing.table("Title", "first", "second", caption="Caption.")
    made.add_row("a", "1")
    assert timing.as_markdown(made).splitlines() == [
        *("Title", "", "| first | second |", "|---|---:|", "| a | 1 |", "", "Caption."),
    ]


def test_warnings_are_counted_by_code() -> None:
    served = serve_bundle(load_bundle(PRETRAINED / "digits" / "1"), "cpu")
    images = load("digits").test.take(np.arange(20)).images  # type: ignore[attr-defined]
    assert warnings.count(served, images, 17)["looks_inverted"] == 0
    assert warnings.count(served, 16 - images, 17)["looks_inverted"] == 20


def test_refinement_is_measured_beside_the_encoder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(refinement.BUNDLES / "digits" / "1", tmp_path / "digits" / "1")
    (tmp_path / "broken" / "1").mkdir(parents=True)
    monkeypatch.setattr(refinement, "BUNDLES", tmp_path)
    monkeypatch.setattr(refinement, "NUM_SAMPLES", 50)
    (table,) = refinement.run(quick=True, threads=1)
    cells = [str(cell) for column in table.columns for cell in column.cells]
    assert sum("of 4" in cell for cell in cells) == 2 * 3
    assert any("left out" in cell for cell in cells)


@pytest.mark.slow
def test_a_decoding_is_measured_beside_that_of_diffusers_and_is_the_same() -> None:
    pytest.importorskip("diffusers", reason="diffusers is not installed")
    made = diffusers_decoding.run(size=16, rounds=1, decodings=1, channels=(32, 64))
    text = text_of(*made)
    assert "vae-serve" in text
    difference = text.split("largest difference of a pixel")[1].split()[1]
    assert float(difference) < 1e-5
