"""Export of a run as a bundle: weights, evaluation, pictures and model card.

`training.evaluation` computes the numbers, `models.bundle` writes the files.
"""

import math
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from models.bundle.good_pictures import GoodPictures
from models.bundle.repository import Repository
from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation
from models.config import Name
from models.errors import ConfigError
from models.files import check_place
from models.vae.model import VAE
from training.data.catalogue import DATASETS
from training.data.summary import picture_of
from training.errors import RunError
from training.evaluation.effort import AskedEffort, choose_settings
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.good_pictures import FEWEST_PICTURES, can_score, find_good_pictures
from training.evaluation.pictures import draw_samples, reconstruct_some
from training.evaluation.trained import TrainedModel, load_trained_model
from training.export.alarms import with_alarms
from training.export.card import write_card
from training.export.held_out_files import make_held_out_files
from training.recipes.name import recipe_name
from training.runs.exports import record_export
from training.runs.folder import read_run

MAX_BUNDLE_BYTES = 16 * 2**20
"""Largest bundle; those that ship, which the repository's history keeps, have at most half."""
_NUM_SAMPLES = 64
_SHARE_OF_TRAINING = 0.1
"""Largest time of the anomaly scores of own images over that of the training."""
_LEAST_SECONDS = 10.0
"""Time that they may take after any training."""


def export_run(
    run_dir: Path,
    *,
    repository: Path,
    name: str | None = None,
    version: int | None = None,
    data_dir: Path | None = None,
    settings: EvaluationSettings | AskedEffort | None = None,
    with_examples: bool | None = None,
    device: str | torch.device = "cpu",
    console: Console | None = None,
) -> Path:
    """Write a run's best weights as a bundle; evaluate them first unless that is done.

    Args:
        run_dir: The run's folder.
        repository: Folder of `<model>/<version>` folders.
        name: Name of the model; the recipe's by default.
        version: Version of the model; the next free one by default.
        data_dir: Folder of the data sets.
        settings: Settings of the evaluation, or what is asked of it and the rest chosen; an
            evaluation that the run has suffices by default.
        with_examples: Whether to publish test images with it; by default, where their licence
            allows it.
        device: Device that evaluates.
        console: Console that shows progress; none by default.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: The run is incomplete, its data have changed, the name or version is not
            allowed, the version exists or cannot be written, or the bundle is too large.
    """
    recipe = read_run(run_dir).recipe
    name = recipe.name if name is None else checked_name(name)
    version = version or Repository(repository).next_version(name)
    target = repository / name / str(version)
    if target.exists():
        raise exists_error(target)
    check_place(repository, flag="--repository", is_folder=True)
    check_place(target, flag="--repository", is_folder=True)
    model = load_trained_model(run_dir, data_dir=data_dir, console=console)
    evaluation = _evaluate(model, settings or AskedEffort(), device=device, console=console)
    dataset, x = model.dataset, model.x
    config = BundleConfig(
        name=name,
        version=version,
        vae=recipe.vae,
        image=recipe.image,
        labels=dataset.class_names,
        provenance=model.provenance,
    )
    good = _find_good_pictures(model, device=device, console=console)
    vae = model.vae.cpu()  # the evaluation may have moved it
    pictures = {"reconstructions.png": picture_of(reconstruct_some(vae, x), config.image)}
    if vae.has_density:
        pictures["samples.png"] = picture_of(draw_samples(vae, _NUM_SAMPLES), config.image)
    _check_size(vae, evaluation, pictures)
    kept = make_held_out_files(vae, config.image, model.held_out, with_examples=with_examples)
    for reason in kept.left_out:
        _say(console or Console(stderr=True), reason)
    card = kept.describe_on(write_card(config, evaluation, dataset, vae))
    try:
        save_bundle(
            target,
            vae=vae,
            config=config,
            evaluation=evaluation,
            card=card if good is None else with_alarms(card, good),
            pictures=pictures,
            parity_inputs=x[torch.arange(8) % len(x)],  # a split of less than 8 images repeats
            good_pictures=good,
            examples=kept.examples,
            latent_map=kept.latent_map,
        )
    except FileExistsError as error:  # another process was faster
        raise exists_error(target) from error
    _note_export(run_dir, target, model.weights_sha256, console or Console(stderr=True))
    return target


def _evaluate(
    model: TrainedModel,
    settings: EvaluationSettings | AskedEffort,
    *,
    device: str | torch.device,
    console: Console | None,
) -> Evaluation:
    """The evaluation that the run has, or a new one."""
    if isinstance(settings, AskedEffort):
        if settings.is_nothing and (stored := model.stored_evaluation(None)) is not None:
            return stored
        shown = console or Console(quiet=True)
        settings = choose_settings(model, settings, device=device, console=shown)
    return model.stored_evaluation(settings) or model.evaluate(
        settings=settings, device=device, console=console
    )


def _find_good_pictures(
    model: TrainedModel, *, device: str | torch.device, console: Console | None
) -> GoodPictures | None:
    """Scores of the test images, for the operation `anomaly`, where there are enough.

    Those of own images take no longer than a share of the training.
    """
    if not can_score(model.vae) or len(model.x) < FEWEST_PICTURES:
        return None
    return find_good_pictures(
        model.vae,
        model.x.numpy(),
        model.spec,
        dataset=model.provenance.dataset,
        split="test",
        device=device,
        console=console,
        most_seconds=_most_seconds(model),
    )


def _most_seconds(model: TrainedModel) -> float:
    if model.provenance.dataset in DATASETS:
        return math.inf
    return max(_LEAST_SECONDS, _SHARE_OF_TRAINING * model.provenance.training_seconds)


def _note_export(run_dir: Path, target: Path, weights_sha256: str, console: Console) -> None:
    """Note the bundle in the run's folder; the console says where that cannot be done."""
    try:
        record_export(run_dir, target, weights_sha256=weights_sha256)
    except RunError as error:  # the bundle is there
        _say(console, f"Warning: the export is not noted in {run_dir}: {error.__cause__}.")


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, soft_wrap=True, markup=False, highlight=False)


def exists_error(target: Path) -> ConfigError:
    """The refusal of a version that exists."""
    return ConfigError(
        f"{target} exists, and a released version is never overwritten. "
        "Take --version next, or another --name.",
        parameter="version",
        received=int(target.name),
        suggestion="--version next",
    )


def checked_name(name: str) -> str:
    """The name of a model.

    Raises:
        ConfigError: It is not allowed; says which would be.
    """
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        better = recipe_name(name)
        raise ConfigError(
            f"The model name {name!r} is not allowed. Allowed: a-z, 0-9, - and _, at most 64 "
            f"characters. Take --name {better}.",
            parameter="name",
            received=name,
            suggestion=better,
        ) from error


def _check_size(vae: VAE, evaluation: Evaluation, pictures: dict[str, bytes]) -> None:
    weights = sum(tensor.numel() * 4 for tensor in vae.state_dict().values())
    size = weights + len(evaluation.model_dump_json(indent=2)) + sum(map(len, pictures.values()))
    if size > MAX_BUNDLE_BYTES:
        raise ConfigError(
            f"The bundle would have {size / 2**20:.1f} MiB ({weights / 2**20:.1f} MiB of weights); "
            f"the limit is {MAX_BUNDLE_BYTES / 2**20:g} MiB. Train a model with smaller "
            "vae.encoder and vae.decoder."
        )
