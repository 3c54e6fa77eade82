"""A run's log at MLflow: recipe, numbers of each validation, the report, where the weights are.

runs/<name>/mlflow.json   the run's id at MLflow, by the URI of its server or store

Lines of the log that MLflow does not have yet are sent at each validation. So a server that is away
for a while, and a run that is resumed, leave no gaps and no doubled points.
"""

import json
import os
import time
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.console import Console

from models.errors import ConfigError
from training.errors import Interrupted
from training.evaluation.compare import flatten
from training.recipes.recipe import Recipe
from training.recipes.text import read_text
from training.report.page import REPORT
from training.runs.folder import BEST, read_log, read_state, replace

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DEFAULT = "default"
"""What `--mlflow` names without a URI."""
STORE = "mlflow.json"
EXPERIMENT = "vae-lab"
"""Name of the experiment, unless MLFLOW_EXPERIMENT_NAME has one."""
WEIGHTS = "best-weights.json"
"""The artefact that says where the best weights are."""
_MAX_PARAMS = 100
"""Most parameters that MLflow takes at once."""


def find_uri(given: str) -> str:
    """The URI that `--mlflow` names: itself, or for `default` the one that MLflow takes by itself.

    That is MLFLOW_TRACKING_URI where it is set, else a store in the working folder.

    Raises:
        ConfigError: MLflow is not installed.
    """
    if given != DEFAULT:
        return given
    _check_installed(given)
    from mlflow.tracking import get_tracking_uri

    uri: str = get_tracking_uri()
    return uri


def without_password(uri: str) -> str:
    """A URI as it may be printed and kept."""
    user, _, _ = urlsplit(uri).netloc.rpartition("@")
    return uri.replace(f"{user}@", "", 1) if user else uri


class MlflowLog:
    """A run of this project as a run of MLflow."""

    def __init__(self, uri: str, recipe: Recipe, run_dir: Path, *, console: Console) -> None:
        """Reach the server or store; the run is made by the first `send_log`.

        Raises:
            ConfigError: MLflow is not installed, or cannot be reached.
        """
        self._recipe, self._run_dir, self._console = recipe, run_dir, console
        self._uri = without_password(uri)
        self._client = _reach(uri)
        self._run_id: str | None = None
        self._sent: set[int] = set()
        """Steps that MLflow has numbers of."""

    def send_log(self) -> None:
        """Send the lines of the log that MLflow lacks; the console says where that fails."""
        try:
            self._send_log()
        except Exception as error:  # MLflow's, its database's and HTTP's; training goes on
            self._warn(error)

    def finish(self, error: BaseException | None) -> None:
        """Send what is left, the report, and how the run ended; `error` is why it ended early."""
        try:
            self._send_log()
            assert self._run_id is not None
            report = self._run_dir / REPORT
            if report.is_file():
                self._client.log_artifact(self._run_id, str(report))
            if (self._run_dir / BEST).is_file():
                text = json.dumps(self._describe_weights(), indent=2) + "\n"
                self._client.log_text(self._run_id, text, WEIGHTS)
            self._client.set_terminated(self._run_id, status=self._status(error))
        except Exception as fault:
            self._warn(fault)

    def _send_log(self) -> None:
        from mlflow.entities import Metric

        if self._run_id is None:
            self._run_id = self._find_run() or self._create_run()
        now = int(time.time() * 1000)
        for line in read_log(self._run_dir):
            step = line["step"]
            if step in self._sent:
                continue
            numbers = {k: v for k, v in line.items() if k != "step" and v is not None}
            metrics = [Metric(name, float(v), now, step) for name, v in numbers.items()]
            self._client.log_batch(self._run_id, metrics=metrics)
            self._sent.add(step)

    def _find_run(self) -> str | None:
        """The id of the run that was begun at this URI; None for a new one."""
        found: str | None = self._ids().get(self._uri)
        if found is not None:
            self._client.update_run(found, status="RUNNING")
            history = self._client.get_metric_history(found, "epoch")
            self._sent = {metric.step for metric in history}
        return found

    def _create_run(self) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        run = self._client.create_run(
            experiment,
            run_name=self._run_dir.resolve().name,
            tags={"vae-lab.run_dir": str(self._run_dir.resolve())},
        )
        run_id: str = run.info.run_id
        entries = flatten(self._recipe.model_dump(mode="json"))
        params = [Param(key, value) for key, value in entries.items()]
        for first in range(0, len(params), _MAX_PARAMS):
            self._client.log_batch(run_id, params=params[first : first + _MAX_PARAMS])
        ids = {**self._ids(), self._uri: run_id}
        replace(self._run_dir / STORE, json.dumps(ids, indent=2).encode() + b"\n")
        return run_id

    def _ids(self) -> dict[str, Any]:
        path = self._run_dir / STORE
        found: dict[str, Any] = json.loads(read_text(path)) if path.is_file() else {}
        return found

    def _describe_weights(self) -> dict[str, Any]:
        path, state = (self._run_dir / BEST).resolve(), read_state(self._run_dir)
        return {
            "path": str(path),
            "sha256": sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
            "epoch": state["epochs"],
            "best_validation_bound_nats": state["best_validation_bound_nats"],
        }

    def _status(self, error: BaseException | None) -> str:
        if error is not None:
            return "KILLED" if isinstance(error, Interrupted) else "FAILED"
        return "FINISHED" if read_state(self._run_dir).get("finished") else "KILLED"

    def _warn(self, error: Exception) -> None:
        words = str(error).strip() or type(error).__name__
        self._console.print(
            f"Warning: MLflow at {self._uri} took nothing: {words.splitlines()[0]}. Training goes "
            "on, and what is missing is sent with the next validation.",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )


def _reach(uri: str) -> "MlflowClient":
    """A client of a server or store that answers.

    Raises:
        ConfigError: MLflow is not installed, or nothing answers.
    """
    _check_installed(uri)
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"Cannot reach MLflow at {without_password(uri)}: {words} Name a server or a store, "
            "as in --mlflow http://127.0.0.1:5000 or --mlflow sqlite:///mlflow.db",
            parameter="mlflow",
            received=without_password(uri),
        ) from error
    return client


def _check_installed(given: str) -> None:
    """Import MLflow, which reports its use to its makers unless it is told not to before that.

    Raises:
        ConfigError: It is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import_module("mlflow.tracking")
    except ImportError as error:
        raise ConfigError(
            "--mlflow needs the extra mlflow, which is not installed. Install it: "
            "pip install --constraint constraints.txt --editable '.[mlflow]'",
            parameter="mlflow",
            received=given,
        ) from error
