"""The commands: files in, files out, the same numbers in process and from a server."""

import csv
import io
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.api.keys import hash_key
from app.cli import commands as cli
from app.cli import connection, server
from app.cli.commands import app, main
from app.cli.refusals import message_of
from app.operations.table import OPERATIONS
from app.settings import Settings
from models.images.spec import ImageSpec
from tests.app.pictures import binary, encoded, npy, npz, read_npy, read_npz, read_picture
from tests.app.repository import (
    LABELS,
    LATENTS,
    SIDE,
    make_repository,
    random_vae,
    write_bundle,
)
from tests.app.server_process import Served, serving
from tests.models.family_cases import family
from vae_client.errors import CallError, Refused

pytestmark = pytest.mark.slow

Vae = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def vae(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vae:
    """Runs a command in a folder of its own, against the tests' repository."""
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(repository))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return run


def done(result: Result) -> Result:
    """A command that must have worked."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def write_pictures(folder: Path, n: int = 3) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(n)]
    for path, picture in zip(paths, binary(n), strict=True):
        path.write_bytes(encoded(picture))
    return paths


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


# What goes wrong -------------------------------------------------------------------------------


def failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    """Exit code and message of a command as the shell sees it."""
    monkeypatch.setattr("sys.argv", ["vae", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0), " ".join(capsys.readouterr().err.split())


def test_failures_are_one_message_and_exit_code_one(
    vae: Vae,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_pictures(tmp_path / "in")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "bad.npy").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_bytes(b"words")
    (tmp_path / "cut.npy").write_bytes(npy(binary())[:100])
    (tmp_path / "cut.npz").write_bytes(npz(images=binary())[:100])
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "z3.npy", np.zeros((2, 3)))
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "two.npz").write_bytes(npz(a=binary(), b=binary()))
    for arguments, words in (
        (["elbo", "nowhere"], "There is no file 'nowhere'. Check the path."),
        (["elbo", "in/0.pgn"], "There is no file 'in/0.pgn'. Did you mean 'in/0.png'?"),
        (["elbo", "*.nothing"], "No picture or array matches '*.nothing'. Read are: .png, "),
        (["elbo", "notes.txt"], "Error: notes.txt: not a picture or array. Read are: .png, "),
        (["elbo", "empty"], "The folder 'empty' holds no picture or array. Read are: "),
        (["elbo", "bad.npy"], "bad.npy is not an array that numpy.save"),
        (["elbo", "cut.npy"], "cut.npy is truncated (100 bytes). Copy or save it again."),
        (["elbo", "cut.npz"], "cut.npz is truncated (100 bytes). Copy or save it again."),
        (["elbo", "text.npy"], "text.npy holds an array of <U1, not of numbers. Save numbers: "),
        (["elbo", "objects.npy"], "objects.npy holds Python objects, not numbers. Save numbers: "),
        (["elbo", "flat.npy"], "flat.npy: The array of images has the shape (3,): it has 1 axis;"),
        (["decode", "z3.npy"], "z3.npy: latents have the shape (2, 3); this model takes (N, "),
        (["elbo", "two.npz"], "two.npz holds a, b; elbo takes images. Save one array of that"),
        (["elbo", "in", "bad.png", "--strict"], "Error: bad.png: The PNG picture is damaged"),
        (["elbo", "bad.png"], "Error: bad.png: The PNG picture is damaged"),
        (["elbo", "in", "-o", "scores.png"], "writes .json, .npy, .npz, .csv, .jsonl, .parquet"),
        (
            ["elbo", "in", "-o", "folder"],
            "a folder, which holds images; elbo gives none. Name a file: --out elbo.csv",
        ),
        (["sample", "-o", "x.csv"], "writes .png"),
        (["decode", "in/0.png"], "Encode it first: vae encode in/0.png -o latents.npy."),
        (["elbo", "in", "--model", "nothing"], "Error: There is no model 'nothing'"),
        (["elbo", "in", "--model", "mnits"], "Did you mean 'mnist'?"),
        (["elbo", "in", "--model", "a/b"], "There is no path"),
        (
            ["elbo", "in", "--num-samples", "100000"],
            "VAE_MAX_NUM_SAMPLES). Send --num-samples 10000.",
        ),
        (
            ["sample", "--label", "seven"],
            "with --label seven: it was trained without labels. Leave --label out.",
        ),
        (["models", "--url", "http://127.0.0.1:9"], "Cannot reach http://127.0.0.1:9: "),
        (["models", "--url", "localhost:8000"], "Use --url http://localhost:8000."),
        (["models", "--url", "ftp://x"], "ftp://x is another form. Use --url http://x."),
        (["models", "--url", "https://x:9/v1"], "without a path, and https://x:9/v1 is another"),
        (["models", "--url", "https://x:9/v1"], "Use --url https://x:9."),
        (["models", "--url", ""], "Use --url http://localhost."),
        (["elbo", "in", "-o", "no/s.csv"], "there is no folder no. Make it first: mkdir -p no"),
        (
            ["elbo", "in", "-o", "notes.txt/s.csv"],
            "notes.txt is a file, not a folder. Use another one: --out s.csv",
        ),
        (
            ["sample", "-o", "notes.txt/x"],
            "notes.txt is a file, not a folder. Use another one: --out x",
        ),
        (
            ["sample", "-o", "plain"],
            "plain is a file, not a folder. Use another one: --out plain-2",
        ),
    ):
        code, message = failure(capsys, monkeypatch, *arguments)
        assert code == 1, arguments
        assert words in message, (arguments, message)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://x:no", "http://x"),
        ("http://x:99999", "http://x"),
        ("http://x:-1", "http://x"),
        ("http://x:\u0669", "http://x"),
        ("x:80", "http://x:80"),
        ("//x:80", "http://x:80"),
        ("http:/x:80", "http://x:80"),
        ("HTTPS//x:80", "https://x:80"),
        ("ws://x:80", "http://x:80"),
        ("http://[::1]:80/v1/", "http://[::1]:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("http://[::1", "http://[::1]"),
        ("http://x?y=1", "http://x"),
        ("http://x y:80", "http://xy:80"),
        (" http://x:80", "http://x:80"),
        ("http://x\n:80", "http://x:80"),
        ("http:///", "http://localhost"),
    ],
)
def test_a_url_of_another_form_gets_the_one_that_is_meant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, meant: str
) -> None:
    code, message = failure(capsys, monkeypatch, "models", "--url", url)
    assert code == 1
    assert f"Use --url {meant}." in message
    assert message.count("--url takes http://HOST:PORT") == 1


@pytest.mark.parametrize("url", ["http://me:hush@x:80", "me:hush@x:80", "https://hush@x:80/v1"])
def test_a_password_in_a_url_is_refused_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    code, message = failure(capsys, monkeypatch, "models", "--url", url)
    assert code == 1
    assert "--url takes no user name and no password." in message
    assert "x:80, with --api-key KEY if it asks for one." in message
    assert "hush" not in message


@pytest.mark.parametrize("url", ["http://[::1]:9", "HTTP://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_a_url_may_have_an_ipv6_address_capitals_and_a_slash_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    assert "Cannot reach http://" in failure(capsys, monkeypatch, "models", "--url", url)[1]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "(ALL_PROXY) cannot be used: Using SOCKS proxy, but"),
        ("all_proxy", "socks5://127.0.0.1:1", "Do without it: env -u all_proxy vae ..."),
        ("NO_PROXY", "[::1]", "(NO_PROXY) cannot be used: Invalid port: ':1]'. Do without it: env"),
        ("HTTP_PROXY", "foo://x", "(HTTP_PROXY) cannot be used: Unknown scheme for proxy URL"),
        ("http_proxy", "http://me:hush@x:no", "(http_proxy) cannot be used: Invalid port: 'no'."),
        (
            "HTTP_PROXY",
            "http://me:hush@127.0.0.1:1",
            "HTTP_PROXY is set: where the service is not behind it, set NO_PROXY=127.0.0.1.",
        ),
        ("ALL_PROXY", "http://127.0.0.1:1", "ALL_PROXY is set: where the service is not behind it"),
        (
            "SSL_CERT_FILE",
            "/nowhere",
            "SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: No such",
        ),
        ("VAE_API_KEY", "\u043a\u043b\u044e\u0447", "holds characters that no header can carry."),
    ],
)
def test_an_environment_without_a_way_to_the_service_is_one_message(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    words: str,
) -> None:
    for name in connection.PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    code, message = failure(capsys, monkeypatch, "models", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert words in message
    assert "hush" not in message


def test_a_host_name_that_cannot_be_encoded_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://xn--a.\u00e4.b:9"
    code, message = failure(capsys, monkeypatch, "models", "--url", url)
    assert code == 1
    assert f"--url {url} cannot be used: Invalid IDNA hostname" in message


def test_a_proxy_that_does_not_concern_the_service_is_not_blamed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = failure(capsys, monkeypatch, "models", "--url", "http://127.0.0.1:9")[1]
    assert "Start a service with vae serve" in message


def test_in_process_no_proxy_is_asked(vae: Vae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "[::1]")
    assert "oracle" in done(vae("models")).stdout


def test_an_output_that_cannot_be_written_is_refused_before_computing(
    vae: Vae,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cli, "open_client", None)
    monkeypatch.setattr(Path, "touch", locked)
    code, message = failure(capsys, monkeypatch, "sample", "-o", f"{tmp_path}/x.png")
    assert code == 1
    assert f"{tmp_path}/x.png: {tmp_path} cannot be written (Permission denied)." in message
    assert f"Write elsewhere: --out {Path.home()}/x.png" in message


def test_any_failure_of_a_file_is_one_message(
    vae: Vae, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.png")

    monkeypatch.setattr(cli, "check_output", full)
    code, message = failure(capsys, monkeypatch, "sample", "-o", "x.png")
    assert code == 1
    assert "x.png: No space left on device; no file is half written. Free space" in message


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "VAE_DEFAULT_MODEL",
            "mnits",
            "VAE_DEFAULT_MODEL=mnits names no model here. Did you mean 'mnist'? Available: ",
        ),
        (
            "VAE_MODEL_REPOSITORY",
            "/nowhere",
            "VAE_MODEL_REPOSITORY=/nowhere does not exist. Set it to a folder of bundles",
        ),
        ("VAE_MODEL_REPOSITORY", __file__, f"VAE_MODEL_REPOSITORY={__file__} is not a folder."),
        ("VAE_DEVICE", "gpu", "VAE_DEVICE=gpu is not a torch device, such as cpu or cuda:0."),
        ("VAE_DEVICE", "cuda:99", "VAE_DEVICE=cuda:99 is not available on this machine."),
        ("VAE_DEVICE", "gpu", "Use VAE_DEVICE=cpu."),
        ("VAE_DEVICE", "meta", "VAE_DEVICE=meta is not available on this machine."),
        ("VAE_MODEL_REPOSITORY", "/dev/null", "VAE_MODEL_REPOSITORY=/dev/null is not a folder."),
    ],
)
@pytest.mark.parametrize("command", ["models", "sample", "serve"])
def test_a_setting_that_names_nothing_is_refused_before_any_model_is_loaded(
    vae: Vae,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variable: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(cli, "run_server", None)
    monkeypatch.setattr(connection, "create_app", None)
    code, message = failure(capsys, monkeypatch, command)
    assert code == 1
    assert words in message


def test_a_port_in_use_is_refused_with_another_one(
    vae: Vae, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "run_server", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, message = failure(capsys, monkeypatch, "serve", "--port", str(port))
    assert code == 1
    other = port + 1 if port < 65535 else 65534
    assert f"Port {port} on 127.0.0.1 is in use." in message
    assert f"Take another one: vae serve --port {other}." in message


def test_a_host_of_another_machine_is_refused(
    vae: Vae, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "run_server", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    code, message = failure(capsys, monkeypatch, "serve", "--host", "192.0.2.1")
    assert code == 1
    assert "Cannot listen on 192.0.2.1 (" in message
    assert "vae serve --host 127.0.0.1." in message


def test_rights_to_a_port_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server.socket, "getaddrinfo", refused)
    with pytest.raises(CallError, match=r"Port 80 needs rights .* vae serve --port 8000\."):
        server.check_port("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "--n", "0"], "--n 0 is not a whole number of at least 1. Use --n 1."),
        (["sample", "--output", "nonsense"], "--output nonsense is not one of mean, sample."),
        (["log-likelihood", "x", "--estimator", "iwea"], "Did you mean 'iwae'?"),
        (["elbo", "x", "--batch-size", "many"], "is not a whole number of at least 1."),
        (["sample", "--n", "1_0"], "--n 1_0 is not a whole number of at least 1. Use --n 16."),
        (["sample", "--seed", "\u0663"], "is not a whole number from 0 to"),
        (["sample", "--temperature", "nan"], "--temperature nan is not a number from 0 to 2."),
        (["sample", "--temperature", "1_0.5"], "--temperature 1_0.5 is not a number from 0 to 2."),
        (["serve", "--port", "+1"], "--port +1 is not a whole number from 0 to 65535."),
        (["elbo", "x", "--version", "1.0"], "--version 1.0 is not a whole number"),
        (["elbo", "x", "--version", "first"], "--version first is not a whole number"),
        (["elbo"], "FILES"),
        (["encod", "x.png"], "encode"),
    ],
)
def test_a_wrong_command_line_is_exit_code_two_and_gets_a_fix(
    vae: Vae, arguments: list[str], words: str
) -> None:
    result = vae(*arguments)
    assert result.exit_code == 2
    printed = " ".join(result.output.replace("│", " ").split())
    assert words in printed
    assert "Input should" not in printed


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VAE_PORT", "70000", "VAE_PORT=70000 is not a whole number from 0 to 65535."),
        ("VAE_LOG_LEVEL", "inof", "VAE_LOG_LEVEL=inof is not one of debug, info,"),
        ("VAE_API_KEYS_SHA256", '["secret"]', "not a sha256 in hex. Hash the key: vae hash-key."),
        (
            "VAE_API_KEYS_SHA256",
            "secret,secret",
            "not a sha256 in hex. Hash the key: vae hash-key.",
        ),
        (
            "VAE_CORS_ORIGINS",
            "[http://a",
            "VAE_CORS_ORIGINS is not a list of words. Separate them by commas: "
            "VAE_CORS_ORIGINS=http://a,http://b.",
        ),
        (
            "VAE_PORT",
            "tcp://10.0.0.1:80",
            "VAE_PORT=tcp://10.0.0.1:80 is not a port: Kubernetes sets it in a pod beside a "
            "service named 'vae'. Put enableServiceLinks: false into the pod's spec, or set "
            "VAE_PORT=8000 there.",
        ),
        (
            "VAE_MAX_ITEMS",
            "1e6",
            "VAE_MAX_ITEMS=1e6 is not a whole number above 0. Use VAE_MAX_ITEM",
        ),
        ("VAE_COMPUTE_THREADS", "5000", "is not a whole number above 0 and at most 4096."),
        ("VAE_DOCS", "maybe", "VAE_DOCS=maybe is not true or false. Use VAE_DOCS=true."),
        ("VAE_SETTINGS_FILE", "/nowhere.toml", "VAE_SETTINGS_FILE=/nowhere.toml is not a file."),
        ("VAE_SETTINGS_FILE", "prot = 1", "There is no setting 'prot'. Did you mean 'port'?"),
        ("VAE_SETTINGS_FILE", "VAE_PORT = 1", "no setting 'VAE_PORT'. Did you mean 'port'?"),
        (
            "VAE_SETTINGS_FILE",
            "port = 70000",
            "settings.toml: VAE_PORT=70000 is not a whole number",
        ),
        ("VAE_SETTINGS_FILE", "zzzzzz = 1", "docs/deployment.md lists the settings."),
        ("VAE_SETTINGS_FILE", "port =", "(VAE_SETTINGS_FILE) is not TOML in UTF-8"),
    ],
)
def test_a_wrong_setting_is_explained_without_pydantics_words(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    value: str,
    words: str,
) -> None:
    if " " in value:
        file = tmp_path / "settings.toml"
        file.write_text(value)
        value = str(file)
    monkeypatch.setenv(variable, value)
    code, message = failure(capsys, monkeypatch, "serve")
    assert code == 1
    assert words in message
    assert "pydantic" not in message
    assert "secret" not in message


def test_without_any_model_the_commands_say_so(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(tmp_path))
    result = vae("sample")
    assert str(result.exception) == (
        "VAE_MODEL_REPOSITORY holds no bundles. Put one into it, <model>/<version>/."
    )


def test_of_several_models_a_command_asks_for_one(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_repository(tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "mnist")
    (tmp_path / "models" / "[b]" / "1").mkdir(parents=True)
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(tmp_path / "models"))
    assert str(vae("sample").exception) == (
        "There is no default model. Name one with --model colour; available: colour, "
        "mnist-labelled, oracle."
    )
    listed = done(vae("models")).stdout
    assert "[b]" in listed
    assert "None" not in listed
    assert "refused" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (
            "mnist cannot sample with label=7: it was trained without labels. mnist-labelled can, "
            "or leave label out.",
            "mnist cannot sample with --label 7: it was trained without labels. --model "
            "mnist-labelled can, or leave --label out.",
        ),
        ("It has no labels. a and b-2 can.", "It has no labels. --model a and b-2 can."),
        (
            "Version 9 of mnist does not exist. Leave the version out for the highest: "
            "/v1/models/mnist.",
            "Version 9 of mnist does not exist. Leave --version out for the highest: --model "
            "mnist.",
        ),
        (
            "n=5000 is over this server's limit of 1024 (VAE_MAX_ITEMS). Ask for n=1024 with the "
            "same seed and first_item=0, 1024, ...; the result is identical.",
            "--n 5000 is over this server's limit of 1024 (VAE_MAX_ITEMS). Use --batch-size 1024; "
            "the result is identical.",
        ),
        (
            "The limit is 1 M. Send 20 images per request, or num_samples=4217.",
            "The limit is 1 M. Use --batch-size 20, or --num-samples 4217.",
        ),
        (
            "Send the header Authorization: Bearer KEY, with a key of the operator.",
            "Use --api-key KEY, with a key of the operator.",
        ),
        ("It is broken; GET /v1/models says why.", "It is broken; `vae models` says why."),
        ("label is missing. Add label=0.", "--label is missing. Add --label 0."),
        ("There is no path /v1/models/a/b.", "There is no path /v1/models/a/b."),
    ],
)
def test_a_refusal_names_the_options_of_the_command(refusal: str, expected: str) -> None:
    assert message_of(Refused(refusal)) == expected


# A real folder --------------------------------------------------------------------------------


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


# As a shell sees it ------------------------------------------------------------------------------


def shell(repository: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own; `vae` is this interpreter's."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'vae() {{ {sys.executable} -m app "$@"; }}; {command}'],
        env={**os.environ, "VAE_MODEL_REPOSITORY": str(repository), **environment},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=120,
        check=False,
    )


def test_a_closed_pipe_is_silent(repository: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "in")[0].parent
    for command in (f"vae encode {folder} -m mnist --no-check", "vae models"):
        done = shell(repository, f"cd {ROOT}; {command} | true")
        assert done.stderr.strip() == ""


def test_a_full_disk_behind_standard_output_is_one_sentence(repository: Path) -> None:
    done = shell(repository, f"cd {ROOT}; vae models > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: A write failed: No space left on device; no file is")


def test_names_of_any_bytes_are_printed_on_an_ascii_terminal(
    repository: Path, tmp_path: Path
) -> None:
    picture, folder = write_pictures(tmp_path / "one", 1)[0], tmp_path / "in"
    folder.mkdir()
    for name in (b"bad\xff.png", "é.png".encode(), b"a\nb.png", b"\x1b[31m.png"):
        (folder / os.fsdecode(name)).write_bytes(picture.read_bytes())
    (folder / os.fsdecode(b"broken\xff\n.png")).write_bytes(b"words")
    ascii_ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = shell(
        repository,
        f"cd {ROOT}; vae encode {folder} -m mnist",
        PYTHONIOENCODING="ascii",
        **ascii_,
    )
    names = [Path(row["file"]).name for row in rows(done.stdout)]
    assert names == [r"\x1b[31m.png", r"a\nb.png", r"bad\udcff.png", r"\xe9.png"]
    assert r"broken\udcff\n.png: The file is text that begins with" in done.stderr
    assert "Traceback" not in done.stderr


# Other commands --------------------------------------------------------------------------------


def test_every_operation_is_a_command_with_its_parameters_and_examples(vae: Vae) -> None:
    for operation in OPERATIONS.values():
        help_ = done(vae(operation.name, "--help")).stdout
        assert "Examples:" in help_
        assert f"vae {operation.name}" in help_
        for name in operation.parameters.model_fields:
            if name not in cli.HIDDEN:
                assert f"--{name.replace('_', '-')}" in help_


def test_every_setting_is_a_flag_of_serve(vae: Vae) -> None:
    help_ = done(vae("serve", "--help")).stdout
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in help_


def test_serve_passes_its_flags_on(vae: Vae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    served: list[Settings] = []
    monkeypatch.setattr(cli, "run_server", served.append)
    done(vae("serve", "--port", "0", "--no-docs", "--cors-origins", "http://a"))
    (settings,) = served
    assert (settings.port, settings.docs, settings.cors_origins) == (0, False, ("http://a",))


def test_models_are_listed(vae: Vae, served: Served) -> None:
    for where in ([], ["--url", served.url]):
        text = done(vae("models", *where)).stdout
        assert "oracle" in text
        assert "ready" in text


def test_a_key_is_hashed_and_not_shown(vae: Vae) -> None:
    result = done(vae("hash-key", stdin="secret\n"))
    assert hash_key("secret") in result.stdout
    assert "secret" not in result.stdout.replace("API key", "")


def test_a_service_with_keys_is_called_with_one(
    repository: Path, tmp_path: Path, vae: Vae, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(repository, tmp_path / "log", "--api-keys-sha256", hash_key("k")) as server:
        refused = vae("models", "--url", server.url)
        assert isinstance(refused.exception, Refused)
        assert message_of(refused.exception) == (
            "The request carries no API key. Use --api-key KEY, with a key from the server's "
            "operator."
        )
        monkeypatch.setenv("VAE_API_KEY", "k")
        done(vae("models", "--url", server.url))
        assert server.client.get("/v1/models").status_code == 401
        bearer = {"Authorization": "Bearer k"}
        assert server.client.get("/v1/models", headers=bearer).status_code == 200


def test_shell_completion_is_offered(vae: Vae) -> None:
    assert "--install-completion" in done(vae("--help")).stdout


def test_the_module_runs_as_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vae", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("app", run_name="__main__")
    assert stopped.value.code == 0
    assert "log-likelihood" in capsys.readouterr().out


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


def test_a_folder_of_pgms_is_scored(vae: Vae, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, picture in enumerate(binary(3)):
        (tmp_path / "in" / f"{number}.pgm").write_bytes(encoded(picture, "PPM"))
    table = rows(done(vae("encode", "in")).stdout)
    assert [Path(row["file"]).name for row in table] == ["0.pgm", "1.pgm", "2.pgm"]
