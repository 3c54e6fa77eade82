"""The commands: files in, files out, the same numbers in process and from a server."""

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from app.operations.table import OPERATIONS
from models.images.spec import ImageSpec
from tests.app.cli.command_cases import Vae, done, rows, write_pictures
from tests.app.pictures import binary, encoded, npy, npz, read_npy, read_npz, read_picture
from tests.app.repository import (
    LABELS,
    LATENTS,
    SIDE,
    random_vae,
    write_bundle,
)
from tests.app.server_process import Served
from tests.models.family_cases import family

pytestmark = pytest.mark.slow


def test_warnings_are_said_on_standard_error_and_stand_in_the_table(
    vae: Vae, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in", 2)
    (tmp_path / "in" / "plain.png").write_bytes(encoded(np.zeros((SIDE, SIDE), np.uint8)))
    result = done(vae("elbo", "in", "--seed", "1", "-m", "mnist"))
    assert "Warning: in/plain.png: All pixels of the picture have one value" in result.stderr
    assert ["constant" in row["warnings"] for row in rows(result.stdout)] == [False, False, True]
    done(vae("encode", "in", "-m", "mnist", "-o", "z.json", "--no-check"))
    (warning,) = json.loads((tmp_path / "z.json").read_text())["warnings"]
    assert (warning["code"], warning["item"]) == ("constant", 2)
    (tmp_path / "many.npy").write_bytes(npy(np.zeros((25, SIDE, SIDE), np.uint8)))
    many = done(vae("encode", "many.npy", "-m", "mnist", "-o", "z.npy", "--no-check"))
    assert "Warning: 5 more; tables and JSON have all of them." in many.stderr


def test_warnings_name_options_as_the_command_line_has_them(vae: Vae, tmp_path: Path) -> None:
    dark = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) // SIDE
    clear = np.zeros((SIDE, SIDE, 4), np.uint8)
    clear[..., 3] = dark * 32
    (tmp_path / "dark.png").write_bytes(encoded(dark))
    (tmp_path / "clear.png").write_bytes(encoded(clear))
    said = done(vae("encode", "dark.png", "clear.png", "-m", "mnist", "--no-check")).stderr
    assert "Warning: dark.png: " in said
    assert "Add --pixel-max 7 if 7 is white." in said
    assert "Add --invert if it is drawn" in said


def test_commands_check_pictures_unless_told_not_to(vae: Vae) -> None:
    text = " ".join(done(vae("elbo", "--help")).stdout.replace("│", " ").split())
    assert "--check" in text
    assert "--no-check" in text
    assert text[text.index("--check") :].partition("Default: ")[2].startswith("True.")


# Scores and arrays -----------------------------------------------------------------------------


def test_scores_of_a_folder_go_to_standard_output_as_csv(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    result = done(vae("elbo", "in", "--seed", "1", "--num-samples", "20"))
    table = rows(result.stdout)
    assert [row["file"] for row in table] == ["in/0.png", "in/1.png", "in/2.png"]
    assert all(float(row["elbo_nats"]) < 0 for row in table)
    assert {row["num_samples"] for row in table} == {"20"}
    assert all(row["percentile"] == "" and row["percentile_reason"] for row in table)


def test_files_folders_globs_and_arrays_get_the_same_scores_in_any_batch_size(
    vae: Vae, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in")
    (tmp_path / "in.npy").write_bytes(npy(binary(3)))
    (tmp_path / "in.npz").write_bytes(npz(images=binary(3)))
    scores = [
        [row["elbo_nats"] for row in rows(done(vae("elbo", *arguments, "--seed", "1")).stdout)]
        for arguments in (
            ["in"],
            ["in/0.png", "in/1.png", "in/2.png"],
            ["in/*.png"],
            [str(tmp_path / "in" / "?.png")],
            ["in.npy"],
            ["in.npz"],
            ["in", "--batch-size", "1"],
            ["in.npy", "--batch-size", "2"],
        )
    ]
    assert all(score == scores[0] for score in scores)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS])
def test_in_process_and_by_url_give_the_same_numbers(
    vae: Vae, served: Served, tmp_path: Path, operation: str
) -> None:
    write_pictures(tmp_path / "in", 2)
    (tmp_path / "z.npy").write_bytes(npy(np.ones((2, LATENTS))))
    takes = OPERATIONS[operation].takes
    inputs = [] if not takes else ["in"] if "images" in takes else ["z.npy"]
    options = [] if operation == "interpolate" else ["--seed", "3"]
    options += ["--model", "mnist-labelled"] if operation == "classify" else []
    answers = []
    for where in ([], ["--url", served.url]):
        done(vae(operation, *inputs, *options, *where, "-o", "out.npz"))
        answers.append(read_npz((tmp_path / "out.npz").read_bytes()))
    assert answers[0].keys() == answers[1].keys()
    for name in answers[0]:
        np.testing.assert_array_equal(answers[0][name], answers[1][name])


def test_the_outputs_suffix_says_its_form(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    done(vae("encode", "in", "-o", "z.npy"))
    done(vae("encode", "in", "-o", "z.json"))
    done(vae("encode", "in", "-o", "z.csv"))
    done(vae("elbo", "in", "-o", "s.json", "--seed", "1"))
    mean = read_npy((tmp_path / "z.npy").read_bytes())
    answer = json.loads((tmp_path / "z.json").read_text())
    table = rows((tmp_path / "z.csv").read_text())
    assert mean.shape == (3, LATENTS)
    assert answer["mean"] == mean.astype(float).tolist() or np.allclose(answer["mean"], mean)
    assert float(table[2][f"mean_{LATENTS - 1}"]) == pytest.approx(float(mean[2, -1]))
    assert answer["preprocessing"] == [["binarize stochastic"]] * 3
    assert len(json.loads((tmp_path / "s.json").read_text())["results"]) == 3


def test_parquet_needs_pyarrow_and_says_so(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "in")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = vae("elbo", "in", "-o", "s.parquet")
    assert "pip install pyarrow" in str(result.exception)


def test_parquet_has_the_tables_rows_with_their_types(vae: Vae, tmp_path: Path) -> None:
    from pyarrow import parquet

    write_pictures(tmp_path / "in")
    for name in ("s.parquet", "s.csv"):
        done(vae("elbo", "in", "-o", name, "--seed", "1", "--num-samples", "100"))
    table = parquet.read_table(tmp_path / "s.parquet").to_pydict()
    assert table["file"] == ["in/0.png", "in/1.png", "in/2.png"]
    assert all(isinstance(value, float) for value in table["percentile"])
    assert all(value is None or isinstance(value, str) for value in table["percentile_reason"])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert [float(row["elbo_nats"]) for row in rows] == table["elbo_nats"]


def test_classes_are_a_table_with_a_column_for_each_label(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    asked = ["classify", "in", "--model", "mnist-labelled"]
    table = rows(done(vae(*asked)).stdout)
    for row in table:
        shares = {label: float(row[f"probabilities_{label}"]) for label in LABELS}
        assert sum(shares.values()) == pytest.approx(1)
        assert row["label"] == max(shares, key=lambda label: shares[label])
    for size in ("1", "32"):
        done(vae(*asked, "-o", f"{size}.json", "--batch-size", size))
    one, all_ = (json.loads((tmp_path / f"{size}.json").read_text()) for size in ("1", "32"))
    assert one == all_
    assert one["labels"] == list(LABELS)
    assert [result["label"] for result in one["results"]] == [row["label"] for row in table]


def test_a_label_is_chosen_and_the_one_used_is_written(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    done(vae("sample", "--model", "mnist-labelled", "--label", "2", "--n", "3", "-o", "s.json"))
    done(vae("elbo", "in", "--model", "mnist-labelled", "-o", "free.json"))
    done(vae("elbo", "in", "--model", "mnist-labelled", "--label", "1", "-o", "given.json"))
    table = rows(done(vae("encode", "in", "--model", "mnist-labelled")).stdout)
    answers = {
        name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("s", "free", "given")
    }
    assert answers["s"]["label_used"] == ["2"] * 3
    assert answers["free"]["label_used"] is None
    assert answers["given"]["label_used"] == ["1"] * 3
    assert {row["label_used"] for row in table} <= set(LABELS)
    assert "1, 2" in str(vae("sample", "--model", "mnist-labelled", "--label", "x").exception)


def test_layers_of_latents_are_written_once(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ImageSpec(channels=1, height=4, width=4, levels=2, binarization="threshold")
    write_bundle(tmp_path / "models", "layers", 1, random_vae(family("two-layers")), image)
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(tmp_path / "models"))
    write_pictures(tmp_path / "in")
    done(vae("encode", "in", "-o", "z.json", "--batch-size", "2"))
    answer = json.loads((tmp_path / "z.json").read_text())
    assert [group["name"] for group in answer["groups"]] == ["z1", "z2"]
    assert len(answer["mean"]) == 3


# Images ----------------------------------------------------------------------------------------


def test_a_sample_is_a_png_grid_unless_asked_otherwise(vae: Vae, tmp_path: Path) -> None:
    done(vae("sample", "--n", "4", "--seed", "1"))
    done(vae("sample", "--n", "4", "--seed", "1", "-o", "row.png", "--columns", "4"))
    done(vae("sample", "--n", "4", "--seed", "1", "-o", "bytes.npy", "--dtype", "uint8"))
    assert read_picture((tmp_path / "sample.png").read_bytes()).shape == (2 * SIDE + 6,) * 2
    assert read_picture((tmp_path / "row.png").read_bytes()).shape[0] == SIDE + 4
    assert read_npy((tmp_path / "bytes.npy").read_bytes()).dtype == np.uint8


def test_many_samples_are_those_of_one_request(vae: Vae, tmp_path: Path) -> None:
    done(vae("sample", "--n", "40", "--seed", "1", "-o", "a.npy", "--batch-size", "7"))
    done(vae("sample", "--n", "40", "--seed", "1", "-o", "b.npy", "--batch-size", "40"))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_folder_gets_a_png_per_file_under_its_name(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    (tmp_path / "more.npy").write_bytes(npy(binary(2)))
    done(vae("reconstruct", "in", "more.npy", "-o", "out"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0.png", "1.png", "2.png", "more-00003.png", "more-00004.png"]


def test_reconstructions_are_written_with_their_errors(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    done(vae("reconstruct", "in", "-o", "errors.json", "--with-error", "--batch-size", "2"))
    written = json.loads((tmp_path / "errors.json").read_text())
    assert len(written["squared_error"]) == len(written["ssim"]) == len(written["files"]) == 3
    assert all(0 < error < 1 for error in written["squared_error"])


def test_latents_come_back_as_images(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    done(vae("encode", "in", "-o", "z.npz"))
    done(vae("encode", "in", "-o", "z.npy"))
    done(vae("decode", "z.npy", "-o", "decoded.npy"))
    done(vae("reconstruct", "in", "-o", "reconstructed.npy"))
    decoded, reconstructed = (tmp_path / f"{n}.npy" for n in ("decoded", "reconstructed"))
    assert decoded.read_bytes() == reconstructed.read_bytes()
    result = vae("decode", "z.npz")
    assert "takes latents" in str(result.exception)


def test_an_interpolation_can_move(vae: Vae, tmp_path: Path) -> None:
    first, second = write_pictures(tmp_path / "in", 2)
    done(vae("interpolate", str(first), str(second), "--steps", "5", "-o", "between.webp"))
    done(vae("interpolate", str(first), str(second), "--path", "spherical", "-o", "frames/"))
    assert (tmp_path / "between.webp").read_bytes()[8:12] == b"WEBP"
    assert len(list((tmp_path / "frames").iterdir())) == 8


# A real folder --------------------------------------------------------------------------------


# Other commands --------------------------------------------------------------------------------


def test_arrays_of_another_order_are_refused_with_the_expression(vae: Vae, tmp_path: Path) -> None:
    rows_of = binary(50).reshape(50, SIDE * SIDE)
    (tmp_path / "flat.npy").write_bytes(npy(rows_of))
    (tmp_path / "last.npy").write_bytes(npy(binary(50).transpose(1, 2, 0)))
    flat, last = vae("elbo", "flat.npy"), vae("elbo", "last.npy")
    assert (flat.exit_code, last.exit_code) == (1, 1)
    assert "Send array.reshape(-1, 1, 8, 8) or array[None, None]" in str(flat.exception)
    assert "Send array.transpose(2, 0, 1)[:, None]" in str(last.exception)
    (tmp_path / "mended.npy").write_bytes(npy(rows_of.reshape(-1, 1, 8, 8)))
    assert len(rows(done(vae("elbo", "mended.npy")).stdout)) == 50


def test_an_array_that_may_be_something_else_is_scored_with_a_warning(
    vae: Vae, tmp_path: Path
) -> None:
    (tmp_path / "three.npy").write_bytes(npy(binary(3)))
    result = done(vae("elbo", "three.npy"))
    assert len(rows(result.stdout)) == 3
    assert (
        f"Warning: three.npy: The array of shape (3, {SIDE}, {SIDE}) is read as 3 grey pictures. "
        "If it is one in colour, send array[None]."
    ) in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("shape", "fix"),
    [
        ((LATENTS,), f"Send latents.reshape(-1, {LATENTS})."),
        ((50 * LATENTS,), f"Send latents.reshape(-1, {LATENTS})."),
        ((50, LATENTS, 1), f"Send latents.reshape(-1, {LATENTS})."),
        ((LATENTS, 50), "If the batch is last, send numpy.moveaxis(latents, -1, 0)."),
        ((50, LATENTS + 1), "Send what encode or sample gives."),
    ],
)
def test_latents_of_another_shape_are_refused_as_a_whole(
    vae: Vae, tmp_path: Path, shape: tuple[int, ...], fix: str
) -> None:
    (tmp_path / "z.npy").write_bytes(npy(np.zeros(shape)))
    result = vae("decode", "z.npy", "-o", "out.npz", "--batch-size", "2")
    assert str(result.exception) == (
        f"z.npy: latents have the shape {shape}; this model takes (N, {LATENTS}). {fix}"
    )


def test_a_path_between_latents_of_an_npy_is_drawn(vae: Vae, tmp_path: Path) -> None:
    (tmp_path / "z.npy").write_bytes(npy(np.eye(2, LATENTS)))
    done(vae("interpolate", "z.npy", "-o", "path.npz", "--steps", "3"))
    found = read_npz((tmp_path / "path.npz").read_bytes())
    np.testing.assert_allclose(found["latents"][[0, 2]], np.eye(2, LATENTS), atol=1e-6)
