"""A run's folder as training left it: its recipe, what happened, the best weights, their scores.

It trains nothing and writes nothing but the run's evaluation; `train.py` writes the rest.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import ValidationError
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from models.bundle.loading import load_bundle
from models.bundle.schema import Evaluation, Provenance
from models.errors import ConfigError
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.data.datasets import Dataset, load
from training.evaluation.baselines import score_baselines
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.stored import EVALUATION, StoredEvaluation
from training.recipes.file import load_recipe
from training.recipes.recipe import Recipe
from training.runs.folder import BEST, RECIPE, STATE


@dataclass(frozen=True)
class TrainedRun:
    """A finished or running training; `vae` has the best weights so far, in eval mode."""

    path: Path
    recipe: Recipe
    recipe_toml: str
    """Resolved: with every override and default written out."""
    state: dict[str, Any]
    vae: VAE
    weights_sha256: str

    def provenance(self) -> Provenance:
        """What a bundle says about where its weights come from.

        Raises:
            ConfigError: The run's state lacks something.
        """
        kept = Provenance.model_fields.keys() & self.state.keys()
        try:
            return Provenance.model_validate(
                {
                    **{name: self.state[name] for name in kept},
                    "recipe": self.recipe_toml,
                    "dataset": self.recipe.dataset.name,
                    "training_seconds": self.state.get("seconds"),
                }
            )
        except ValidationError as error:
            raise ConfigError(
                f"{self.path / STATE} says where the weights come from; received: {error}. Train "
                "with this version of the code."
            ) from error

    def stored_evaluation(self, settings: EvaluationSettings) -> Evaluation | None:
        """The evaluation of these very weights with these settings, if there is one."""
        path = self.path / EVALUATION
        if not path.is_file():
            return None
        try:
            stored = StoredEvaluation.model_validate_json(path.read_bytes())
        except ValidationError:
            return None  # of another version of the code: evaluate again
        same = (stored.weights_sha256, stored.settings) == (self.weights_sha256, settings)
        complete = stored.evaluation.baselines or not self.vae.is_mass
        return stored.evaluation if same and complete else None

    def evaluate(
        self,
        *,
        settings: EvaluationSettings,
        data_dir: Path | None = None,
        device: str | torch.device = "cpu",
        console: Console | None = None,
    ) -> Evaluation:
        """Score the best weights on the test split, and keep the numbers in the run's folder."""
        evaluation = _evaluate(
            self.vae,
            self.provenance(),
            self.recipe.image,
            settings=settings,
            data_dir=data_dir,
            device=device,
            console=console,
        )
        stored = StoredEvaluation(
            weights_sha256=self.weights_sha256, settings=settings, evaluation=evaluation
        )
        (self.path / EVALUATION).write_text(stored.model_dump_json(indent=2) + "\n")
        return evaluation


def is_run(path: Path) -> bool:
    """Whether a folder looks like a run's."""
    return (path / RECIPE).is_file()


def load_run(path: Path) -> TrainedRun:
    """Read a run's folder.

    Raises:
        ConfigError: It is no run, has no weights yet, or its weights do not fit its recipe.
    """
    missing = [name for name in (RECIPE, STATE, BEST) if not (path / name).is_file()]
    if missing:
        raise ConfigError(
            f"A run's folder holds {RECIPE}, {STATE} and {BEST}; {path} lacks "
            f"{', '.join(missing)}. Train first, or name another folder."
        )
    recipe = load_recipe(path / RECIPE)
    raw = (path / BEST).read_bytes()
    vae = VAE(recipe.vae)
    try:
        vae.load_state_dict(load_tensors(raw))
    except (SafetensorError, RuntimeError) as error:
        raise ConfigError(
            f"{path / BEST} holds the weights of the model in {RECIPE}; received: {error}. "
            "Train again."
        ) from error
    return TrainedRun(
        path=path,
        recipe=recipe,
        recipe_toml=(path / RECIPE).read_text(),
        state=json.loads((path / STATE).read_text()),
        vae=vae.to(torch.float32).eval().requires_grad_(False),
        weights_sha256=hashlib.sha256(raw).hexdigest(),
    )


def evaluate_bundle(
    path: Path,
    *,
    settings: EvaluationSettings,
    data_dir: Path | None = None,
    device: str | torch.device = "cpu",
    console: Console | None = None,
) -> Evaluation:
    """Score a bundle on the test split of the data that it was trained on; writes nothing."""
    bundle = load_bundle(path)
    return _evaluate(
        bundle.vae,
        bundle.config.provenance,
        bundle.config.image,
        settings=settings,
        data_dir=data_dir,
        device=device,
        console=console,
    )


def _evaluate(
    vae: VAE,
    provenance: Provenance,
    spec: ImageSpec,
    *,
    settings: EvaluationSettings,
    data_dir: Path | None,
    device: str | torch.device,
    console: Console | None,
) -> Evaluation:
    """Score the model, and the baselines where they compare, on the test split."""
    dataset, x = load_test_images(provenance, spec, data_dir=data_dir)
    labels = dataset.test.labels
    evaluation = evaluate(
        vae,
        x,
        labels=None if labels is None else torch.from_numpy(labels),
        dataset=provenance.dataset,
        settings=settings,
        device=device,
        console=console,
    )
    if not vae.is_mass:
        return evaluation
    baselines = score_baselines(dataset.train, x.numpy(), spec)
    return evaluation.model_copy(update={"baselines": baselines})


def load_test_images(
    provenance: Provenance, spec: ImageSpec, *, data_dir: Path | None
) -> tuple[Dataset, Float[Tensor, "batch channel height width"]]:
    """The data set that a model was trained on, and its test split as the model takes it.

    Raises:
        ConfigError: The data set's content is another one now.
    """
    dataset = load(provenance.dataset, data_dir=data_dir)
    if dataset.sha256 != provenance.dataset_sha256:
        raise ConfigError(
            "A model is evaluated on the data that it was trained on, sha256 "
            f"{provenance.dataset_sha256}; received {dataset.sha256}. Name the right folder with "
            "--data-dir."
        )
    return dataset, torch.from_numpy(dataset.test.observations(spec))
