"""Results on standard output: arrays for the next command, JSON, a short table for a person."""

import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.cli.commands import make_app
from app.cli.score_table import check_sort, order_of, short_table
from app.cli.target import choose_target
from app.operations.table import OPERATIONS
from tests.app.cli.command_cases import Vae, done, rows, write_pictures
from tests.app.pictures import binary, npy, read_npy
from tests.app.repository import LATENTS, SIDE
from vae_client.errors import CallError

pytestmark = pytest.mark.slow


def piped(*arguments: str, stdin: bytes = b"") -> Result:
    """A command that reads bytes from a pipe."""
    return done(CliRunner().invoke(make_app(arguments[0]), list(arguments), input=stdin))


def test_samples_go_through_a_pipe_to_encode(vae: Vae) -> None:
    samples = piped("sample", "--n", "4", "--seed", "1", "-m", "mnist", "-o", "-").stdout_bytes
    assert read_npy(samples).shape == (4, 1, SIDE, SIDE)
    encoded = piped("encode", "-", "-m", "mnist", "--json", "--quiet", stdin=samples)
    answer = json.loads(encoded.stdout)
    assert answer["files"] == ["-[0]", "-[1]", "-[2]", "-[3]"]
    assert np.shape(answer["mean"]) == (4, LATENTS)
    latents = piped("encode", "-", "-m", "mnist", "-o", "-", stdin=samples).stdout_bytes
    np.testing.assert_allclose(read_npy(latents), answer["mean"], rtol=1e-6)
    decoded = piped("decode", "-", "-m", "mnist", "-o", "-", stdin=latents).stdout_bytes
    assert read_npy(decoded).shape == (4, 1, SIDE, SIDE)


def test_json_on_standard_output_is_that_of_a_file(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    asked = ["elbo", "in", "--seed", "1", "-m", "mnist"]
    done(vae(*asked, "-o", "s.json"))
    printed = done(vae(*asked, "--json")).stdout
    assert printed == (tmp_path / "s.json").read_text() + "\n"
    assert done(vae(*asked, "--json", "-o", "-")).stdout == printed
    refused = str(vae(*asked, "--json", "-o", "s.csv").exception)
    assert (
        refused == "--json prints on standard output, and --out s.csv is a file. Use --out s.json."
    )
    assert done(vae(*asked, "-o", "-")).stdout == done(vae(*asked)).stdout


def test_quiet_leaves_results_and_failures(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_bytes(b"words")
    asked = ["elbo", "in", "--seed", "1", "-m", "mnist"]
    loud, quiet = done(vae(*asked)), done(vae(*asked, "--quiet"))
    assert "Left out: in/notes.txt" in loud.stderr
    assert "3 items, 1 left out.\n" in loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout
    (tmp_path / "in" / "bad.png").write_bytes(b"words")
    failed = vae(*asked, "--quiet", "-o", "s.csv")
    assert failed.stderr.startswith("Failed: in/bad.png: ")
    assert failed.stderr.count("\n") == 1
    assert "1 of 4 items could not be read" in str(failed.exception)
    assert "Wrote s.csv (3 items, 1 left out, 1 failed).\n" in vae(*asked, "-o", "s.csv").stderr


def test_rows_are_sorted_and_cut_in_every_form(vae: Vae, tmp_path: Path) -> None:
    (tmp_path / "in.npy").write_bytes(
        npy(np.concatenate([binary(4), np.zeros((1, SIDE, SIDE), np.uint8)]))
    )
    asked = ["elbo", "in.npy", "--seed", "1", "-m", "mnist"]
    table = rows(done(vae(*asked)).stdout)
    expected = sorted(table, key=lambda row: float(row["elbo_nats"]))
    assert rows(done(vae(*asked, "--sort", "elbo_nats")).stdout) == expected
    top = rows(done(vae(*asked, "--sort", "-elbo_nats", "--top", "2")).stdout)
    assert top == expected[:2:-1]
    done(vae(*asked, "--sort", "elbo_nats", "--top", "5", "-o", "s.json"))
    answer = json.loads((tmp_path / "s.json").read_text())
    assert [row["file"] for row in answer["results"]] == [row["file"] for row in expected]
    constant = [warning["item"] for warning in answer["warnings"] if warning["code"] == "constant"]
    assert constant == [[row["file"] for row in expected].index("in.npy[4]")]
    one_alone = done(vae(*asked, "--sort", "elbo_nats", "--top", "1", "-o", "one.json"))
    assert "Wrote one.json (1 item).\n" in one_alone.stderr
    (one,) = json.loads((tmp_path / "one.json").read_text())["results"]
    assert one["file"] == expected[0]["file"]
    refused = str(vae(*asked, "--sort", "elbo_nat").exception)
    assert refused.startswith("--sort elbo_nat is no column. Allowed: file, elbo_nats, ")
    assert refused.endswith("Use --sort elbo_nats.")


def test_rows_without_a_value_come_last() -> None:
    table = {"file": list("abcd"), "percentile": [2.0, None, 1.0, 3.0]}
    assert order_of(table, "percentile", None) == [2, 0, 3, 1]
    assert order_of(table, "-percentile", 3) == [3, 0, 2]
    assert order_of(table, None, 2) == [0, 1]
    assert order_of(table, "reason", None) == [0, 1, 2, 3]
    with pytest.raises(CallError, match="Use --sort label"):
        check_sort("lable", OPERATIONS["classify"])
    with pytest.raises(CallError, match="probabilities is no column"):
        check_sort("-probabilities", OPERATIONS["classify"])


def test_a_terminal_gets_a_short_table_and_every_column_if_asked(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_target(None, OPERATIONS["elbo"]) == (None, "csv")
    terminal = Mock(**{"stdout.isatty.return_value": True})
    monkeypatch.setattr("app.cli.target.sys", terminal)
    assert choose_target(None, OPERATIONS["elbo"]) == (None, "short")
    assert choose_target(None, OPERATIONS["elbo"], full=True) == (None, "csv")
    assert choose_target(None, OPERATIONS["encode"]) == (None, "csv")
    for operation, form in (("sample", "png"), ("encode", "csv")):
        with pytest.raises(CallError) as refused:
            choose_target(Path("-"), OPERATIONS[operation])
        assert str(refused.value) == (
            "--out - writes an array (npy), and standard output is a terminal. Name a file: --out "
            f"{operation}.{form}."
        )
    write_pictures(tmp_path / "in", 2)
    table = done(vae("elbo", "in", "--seed", "1", "-m", "mnist")).stdout
    assert table.split()[:4] == ["file", "elbo", "(nats)", "percentile"]
    assert "--full shows every column" in table
    full = done(vae("elbo", "in", "--seed", "1", "-m", "mnist", "--full")).stdout
    assert rows(full)[1]["file"] == "in/1.png"


def test_the_short_table_has_scores_with_errors_percentiles_and_doubts() -> None:
    table = {
        "file": ["a.png", "b.png", "[c].png"],
        "elbo_nats": [-91.234, -80.0, None],
        "standard_error_nats": [0.126, None, None],
        "percentile": [3.21, None, None],
        "warnings": ["constant", "", ""],
        "weights_look_regular": [False, True, None],
        "tolerance_met": [False, False, None],
    }
    lines = [line.split() for line in short_table(table, OPERATIONS["elbo"]).splitlines()]
    assert ["file", "elbo", "(nats)", "percentile", "note"] in lines
    assert ["a.png", "-91.23", "±", "0.13", "3.2", "irregular", "weights;", "constant"] in lines
    assert ["b.png", "-80.00", "-", "tolerance", "not", "met"] in lines
    assert ["[c].png", "-", "-"] in lines


def test_the_short_table_of_classes_has_the_label_and_its_probability() -> None:
    table = {
        "file": ["a.png"],
        "label": ["7"],
        "probabilities_3": [0.25],
        "probabilities_7": [0.75],
    }
    lines = [line.split() for line in short_table(table, OPERATIONS["classify"]).splitlines()]
    assert ["file", "label", "probability"] in lines
    assert ["a.png", "7", "0.750"] in lines
