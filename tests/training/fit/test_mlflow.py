"""MLflow in a real store: recipe, numbers, artefacts, and one run over all starts."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from models.errors import ConfigError
from tests.training.conftest import RECIPE
from tests.training.kinds import KINDS
from tests.training.vae_lab import exit_code
from training.commands.lab import with_mlflow_uri
from training.errors import Diverged
from training.fit import train as loop
from training.fit.mlflow import STORE, MlflowLog, find_uri, without_password
from training.recipes.loop import OptimizerConfig, TrainingConfig
from training.runs.folder import LOG, read_log

for name in ("mlflow", "alembic", "sqlalchemy"):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[mlflow]'")
from mlflow.tracking import MlflowClient, get_tracking_uri  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::Warning:(mlflow|sqlalchemy|alembic)"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of its own; its artefacts lie in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return f"sqlite:///{tmp_path}/mlflow.db"


def train(recipe: loop.Recipe, run_dir: Path, uri: str, **options: Any) -> Console:
    console = Console(record=True, width=300, file=open(os.devnull, "w"))  # noqa: SIM115
    options = {"device": "cpu", "tensorboard": False, "console": console, **options}
    try:
        loop.train(recipe, run_dir=run_dir, mlflow=uri, **options)
    finally:
        console.file.close()
    return console


def runs_at(uri: str, experiment: str = "vae-lab") -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id]))


def test_a_run_is_logged_with_recipe_numbers_by_step_page_and_weights(
    tmp_path: Path, uri: str
) -> None:
    recipe, run_dir = KINDS["static binary"](tmp_path), tmp_path / "first"
    train(recipe, run_dir, uri, report=True)
    (run,) = runs_at(uri)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert run.data.params["vae.latent_shape"] == "[2]"
    assert run.data.params["optimizer.learning_rate"] == "0.001"
    client = MlflowClient(tracking_uri=uri)
    for name in ("validation_bound_nats", "train_rate_nats", "learning_rate"):
        history = client.get_metric_history(run.info.run_id, name)
        wanted = [(line["step"], line[name]) for line in read_log(run_dir)]
        assert [(point.step, point.value) for point in history] == wanted
    names = {artefact.path for artefact in client.list_artifacts(run.info.run_id)}
    assert names == {"report.html", "best-weights.json"}
    weights = json.loads(
        Path(client.download_artifacts(run.info.run_id, "best-weights.json")).read_text()
    )
    assert weights["path"] == str(run_dir / "best.safetensors")
    assert weights["bytes"] == (run_dir / "best.safetensors").stat().st_size


def test_a_resumed_run_goes_on_in_the_same_run_without_doubled_points(
    tmp_path: Path, uri: str
) -> None:
    recipe, run_dir = KINDS["static binary"](tmp_path), tmp_path / "first"
    train(recipe, run_dir, uri, limit_seconds=0.0)
    (run,) = runs_at(uri)
    assert run.info.status == "KILLED"
    train(recipe, run_dir, uri, resume=True)
    (run,) = runs_at(uri)
    assert run.info.status == "FINISHED"
    assert json.loads((run_dir / STORE).read_text()) == {uri: run.info.run_id}
    history = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "epoch")
    assert [point.value for point in history] == [5, 10, 15, 20]


def test_what_a_store_missed_is_sent_later_and_training_goes_on(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run_dir = KINDS["static binary"](tmp_path), tmp_path / "first"
    moved, path = tmp_path / "moved.db", tmp_path / "mlflow.db"
    real = MlflowClient.log_batch

    def away(self: MlflowClient, run_id: str, **options: Any) -> Any:
        if options.get("metrics") and len(read_log(run_dir)) < 3:
            raise ConnectionError("the server is away\nsecond line")
        return real(self, run_id, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", away)
    said = train(recipe, run_dir, uri).export_text()
    assert said.count("took nothing: the server is away. Training goes on") == 2
    (run,) = runs_at(uri)
    history = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "epoch")
    assert sorted(point.value for point in history) == [5, 10, 15, 20]
    assert not moved.exists()
    assert path.exists()


def test_a_run_that_diverges_has_failed(tmp_path: Path, uri: str) -> None:
    recipe = RECIPE.model_copy(
        update={
            "optimizer": OptimizerConfig(learning_rate=1e30, gradient_clip=1e30),
            "training": TrainingConfig(epochs=200, batch_size=400, max_skipped_in_a_row=2),
        }
    )
    with pytest.raises(Diverged):
        train(recipe, tmp_path / "run", uri)
    (run,) = runs_at(uri)
    assert run.info.status == "FAILED"


def test_an_end_that_cannot_be_sent_is_a_warning(tmp_path: Path, uri: str) -> None:
    console = Console(record=True, width=300, quiet=False)
    log = MlflowLog(uri, RECIPE, tmp_path / "missing", console=console)
    log.finish(None)
    assert "Warning: MLflow at sqlite:///" in console.export_text()


def test_an_experiment_of_another_name_is_used_again(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / LOG).write_text('{"epoch": 1, "step": 4, "x": null, "y": 2}\n')
        MlflowLog(uri, RECIPE, tmp_path / name, console=Console(quiet=True)).send_log()
    assert {run.info.run_name for run in runs_at(uri, "mine")} == {"a", "b"}
    assert all(run.data.metrics == {"epoch": 1.0, "y": 2.0} for run in runs_at(uri, "mine"))


@pytest.mark.usefixtures("uri")
def test_by_default_the_store_is_the_one_that_mlflow_takes_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_uri("http://h:5000") == "http://h:5000"
    assert find_uri("default") == get_tracking_uri()
    assert str(tmp_path) in find_uri("default")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
    assert find_uri("default") == "sqlite:///x.db"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("train digits --mlflow", "train digits --mlflow default"),
        ("train --mlflow digits", "train --mlflow default digits"),
        ("train --mlflow --resume digits", "train --mlflow default --resume digits"),
        ("train --mlflow http://h:5000 digits", "train --mlflow http://h:5000 digits"),
        ("train digits --mlflow databricks", "train digits --mlflow databricks"),
        ("train digits --mlflow=nowhere", "train digits --mlflow=nowhere"),
        ("runs", "runs"),
    ],
)
def test_the_option_may_stand_alone_anywhere(given: str, read: str) -> None:
    assert with_mlflow_uri(given.split()) == read.split()


@pytest.mark.parametrize(
    ("uri", "printed"),
    [
        ("postgresql://me:secret@host/db", "postgresql://host/db"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_password_is_neither_printed_nor_kept(uri: str, printed: str) -> None:
    assert without_password(uri) == printed


def test_a_store_that_does_not_answer_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot reach MLflow at nowhere:.*Name a server"):
        train(RECIPE, tmp_path / "run", "nowhere://x")
    assert not (tmp_path / "run").exists()


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    assert exit_code("train", "digits", "--mlflow", "sqlite:///x.db", "--device", "cpu") == 1
    error = capsys.readouterr().err
    assert "--mlflow needs the extra mlflow, which is not installed. Install it:" in error
    assert not (tmp_path / "runs").exists()


def test_the_option_reaches_the_store(
    uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    command = ["train", "--mlflow", "digits", "--device", "cpu", "--no-tensorboard"]
    assert exit_code(*command, "--set", "training.epochs=1") == 0
    assert f"MLflow's log is at {uri}." in capsys.readouterr().out
    (run,) = runs_at(uri)
    assert run.info.run_name == "digits"
