"""A trained model, from a run's folder or a bundle's, with the test images of its data set."""

import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from pydantic import ValidationError
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from models.bundle.loading import load_bundle
from models.bundle.schema import MANIFEST, WEIGHTS, Evaluation, Provenance
from models.errors import BundleNotFound, ConfigError, InputError, closest
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.data.datasets import Dataset, load
from training.data.subset import choose_subset
from training.errors import RunError
from training.evaluation.baselines import score_baselines
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.held_out import HeldOut
from training.evaluation.quality import measure_quality
from training.evaluation.reconstruction import advise
from training.evaluation.scoring import Images, Labels
from training.evaluation.stored import find_evaluation, store_evaluation
from training.evaluation.unfinished import Unfinished
from training.recipes.recipe import Recipe
from training.recipes.text import read_text
from training.runs.folder import BEST, RECIPE, STATE, Run, is_run, read_run


@dataclass(frozen=True)
class TrainedModel:
    """A model with its best weights, and test images of the data set that it was trained on."""

    name: str
    """Name of the run's folder, or <model>/<version> of a bundle."""
    path: Path
    vae: VAE
    """The model with its best weights, in float32 and eval mode, without gradients."""
    weights_sha256: str
    """Hex digest of the weights' file."""
    spec: ImageSpec
    provenance: Provenance
    recipe: Recipe | None
    """Recipe of a run; None for a bundle, whose recipe another version may have written."""
    dataset: Dataset
    x: Images
    """Test images: all, or a random subset."""
    labels: Labels | None
    """Labels of `x`, where the data set has labels."""

    @property
    def held_out(self) -> HeldOut:
        """The test images, for what a bundle keeps of them."""
        labels = None if self.labels is None else self.labels.numpy()
        return HeldOut(self.dataset, "test", self.x.numpy(), labels)

    def describe(self) -> str:
        """The model's name and images, for a title."""
        return f"{self.name}: {self.describe_images()}"

    def describe_images(self) -> str:
        """Data set, split and number of images, for a title."""
        return f"{self.dataset.name}, test split, n = {len(self.x):,}"

    def stored_evaluation(self, settings: EvaluationSettings | None) -> Evaluation | None:
        """The whole evaluation of these weights that a run's folder holds, if any.

        With these settings; with any by default.
        """
        return find_evaluation(self.path, settings=settings, is_whole=True)

    def evaluate(
        self,
        *,
        settings: EvaluationSettings,
        device: str | torch.device = "cpu",
        console: Console | None = None,
    ) -> Evaluation:
        """Score the test images, by the baselines too where they compare.

        The console shows progress, and what to try where a PCA reconstructs better. A run's folder
        keeps the evaluation, unless it is read-only; a bundle's is left as it is.
        Interrupted, it goes on with the next call of the same settings.
        """
        x, labels, unfinished = self.x, self.labels, None
        if 0 < settings.num_images < len(x):
            chosen = choose_subset(len(x), settings.num_images, seed=0)
            x, labels = x[chosen], None if labels is None else labels[chosen]
        if self.recipe is not None:
            digests = (self.weights_sha256, self.provenance.dataset_sha256)
            unfinished = Unfinished(self.path, *digests, settings.model_dump_json())
        evaluation = evaluate(
            self.vae,
            x,
            labels=labels,
            dataset=self.provenance.dataset,
            settings=settings,
            device=device,
            console=console,
            unfinished=unfinished,
        )
        if self.vae.is_mass:
            baselines = score_baselines(self.dataset.train, x.numpy(), self.spec)
            evaluation = evaluation.model_copy(update={"baselines": baselines})
        quality = measure_quality(
            self.vae,
            x,
            labels,
            train=self.dataset.train,
            spec=self.spec,
            console=console,
        )
        evaluation = evaluation.model_copy(update=dict(quality))
        advice = advise(evaluation, tomllib.loads(self.provenance.recipe))
        if advice and console:
            console.print(f"Warning: {advice}", soft_wrap=True, markup=False, highlight=False)
        if self.recipe is not None:
            self._store(evaluation, settings, console or Console(stderr=True))
        if unfinished is not None:
            unfinished.forget()
        return evaluation

    def _store(
        self, evaluation: Evaluation, settings: EvaluationSettings, console: Console
    ) -> None:
        """Keep an evaluation in the run's folder; the console says where that cannot be done."""
        try:
            store_evaluation(
                self.path, evaluation, settings=settings, weights_sha256=self.weights_sha256
            )
        except RunError as error:
            console.print(
                f"Warning: the scores are not kept in {self.path}: {error.__cause__}.",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )


def load_trained_model(
    path: Path,
    *,
    data_dir: Path | None = None,
    num_images: int = 0,
    console: Console | None = None,
) -> TrainedModel:
    """Read the best weights of a run, or a bundle, and the test images of its data set.

    Args:
        path: A run's folder, or a bundle's.
        data_dir: Where the data sets are.
        num_images: Size of a random subset of the test images, the same every time; 0 for all.
        console: Where to show progress, and what is doubtful in the data; nowhere by default.

    Raises:
        BundleError: There is no run or bundle, or the bundle is damaged.
        ConfigError: The run has no weights yet, or the data set has changed.
        DatasetError: The data set is not at hand.
        InputError: A subset of one image.
    """
    recipe = None
    if is_run(path):
        run = read_run(path)
        name, spec, recipe = path.resolve().name, run.recipe.image, run.recipe
        vae, digest = load_best_weights(run)
        provenance = _provenance(run)
    else:
        _check_is_bundle(path)
        bundle = load_bundle(path)
        name, spec = f"{bundle.name}/{bundle.version}", bundle.config.image
        vae, digest = bundle.vae, sha256((path / WEIGHTS).read_bytes()).hexdigest()
        provenance = bundle.config.provenance
    dataset = _load_dataset(name, provenance, data_dir, console)
    x, labels = _test_images(dataset, spec, num_images, console)
    return TrainedModel(
        name=name,
        path=path,
        vae=vae,
        weights_sha256=digest,
        spec=spec,
        provenance=provenance,
        recipe=recipe,
        dataset=dataset,
        x=x,
        labels=labels,
    )


def load_best_weights(run: Run) -> tuple[VAE, str]:
    """A run's model with its best weights, frozen, and the sha256 of their file.

    Raises:
        ConfigError: The weights' file is damaged, or of another model.
    """
    path, vae = run.path / BEST, VAE(run.recipe.vae)
    raw = path.read_bytes()
    try:
        vae.load_state_dict(load_tensors(raw))
    except SafetensorError as error:
        raise ConfigError(
            f"{path} is damaged: {error}. Restore it, or train again in another folder."
        ) from error
    except RuntimeError as error:
        raise ConfigError(
            f"{path} holds the weights of another model than {RECIPE} describes. Restore both "
            "files, or train again in another folder."
        ) from error
    return vae.to(torch.float32).freeze(), sha256(raw).hexdigest()


def _check_is_bundle(path: Path) -> None:
    """Refuse what is neither a run nor a bundle, before a bundle's own checks do."""
    if not path.is_dir():
        folders = [entry.name for entry in _entries(path.parent) if entry.is_dir()]
        near = closest(path.name, folders)
        fix = f"Did you mean {path.parent / near}?" if near else "Name a folder that exists."
        raise BundleNotFound(f"There is no run or bundle at {path}. {fix}")
    if not (path / MANIFEST).is_file():
        inside = next((e for e in _entries(path) if is_run(e) or (e / MANIFEST).is_file()), None)
        fix = f"Did you mean {inside}?" if inside else "Name another folder."
        raise BundleNotFound(
            f"{path} is no run, which has a {RECIPE}, and no bundle, which has a {MANIFEST}. {fix}"
        )


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _provenance(run: Run) -> Provenance:
    """Where a run's weights come from, as a bundle says it."""
    kept = Provenance.model_fields.keys() & run.state.keys()
    try:
        return Provenance.model_validate(
            {
                **{name: run.state[name] for name in kept},
                "recipe": read_text(run.path / RECIPE),
                "dataset": run.recipe.dataset.name,
                "training_seconds": run.state.get("seconds"),
            }
        )
    except ValidationError as error:
        names = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise ConfigError(
            f"{run.path / STATE} has no valid {names.replace('training_seconds', 'seconds')}. "
            "Restore the file, or train again in another folder."
        ) from error


def _load_dataset(
    name: str, provenance: Provenance, data_dir: Path | None, console: Console | None
) -> Dataset:
    made_by = tomllib.loads(provenance.recipe).get("dataset", {})
    dataset = load(
        provenance.dataset,
        group_by=made_by.get("group_by"),
        recorded=provenance.dataset_sha256,
        data_dir=data_dir,
        console=console,
    )
    if dataset.sha256 != provenance.dataset_sha256:
        raise ConfigError(
            f"The data set {provenance.dataset} has changed since {name} was trained: its sha256 "
            f"was {provenance.dataset_sha256} and is {dataset.sha256}. Restore it, or name the "
            "folder that holds it with --data-dir.",
            parameter="data_dir",
        )
    return dataset


def _test_images(
    dataset: Dataset, spec: ImageSpec, num_images: int, console: Console | None
) -> tuple[Images, Labels | None]:
    """The test split as the model takes it, or a random subset; with its labels."""
    if num_images == 1:
        raise InputError(
            "1 image has no standard error; at least 2 have one. Take --images 2 or more, or "
            "--images 0 for all.",
            parameter="images",
            received=1,
        )
    x, found = (
        torch.from_numpy(dataset.test.observations(spec, console=console)),
        dataset.test.labels,
    )
    labels = None if found is None else torch.from_numpy(found)
    if 0 < num_images < len(x):
        chosen = choose_subset(len(x), num_images, seed=0)
        x, labels = x[chosen], None if labels is None else labels[chosen]
    return x, labels
