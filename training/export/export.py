"""From a run to a bundle: weights, evaluation, pictures and a model card that a stranger can read.

It trains nothing and computes no number of the card itself (`evaluate.py`); `models.bundle` writes.
"""

from pathlib import Path

import torch
from rich.console import Console

from models.bundle.repository import Repository
from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation
from models.errors import ConfigError
from models.vae.model import VAE
from training.data.summary import picture_of
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.pictures import draw_samples, reconstruct_some
from training.evaluation.trained import load_trained_model
from training.export.card import write_card
from training.runs.folder import read_run

MAX_BUNDLE_BYTES = 8 * 2**20
"""Bundles are kept in the repository's history."""
_NUM_SAMPLES = 64


def export_run(
    run_dir: Path,
    *,
    repository: Path,
    name: str | None = None,
    version: int | None = None,
    data_dir: Path | None = None,
    settings: EvaluationSettings | None = None,
    device: str | torch.device = "cpu",
    console: Console | None = None,
) -> Path:
    """Write a run's best weights as a bundle, evaluating them first unless that is done.

    Args:
        run_dir: What training left.
        repository: Folder of `<model>/<version>` folders.
        name: The model's; the recipe's by default.
        version: The next free one by default.
        data_dir: Where the data sets are.
        settings: Of the evaluation; the published ones by default.
        device: Where to evaluate.
        console: Where to show progress; nowhere by default.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: The run is incomplete, its data have changed, the version exists, or the
            bundle is too large.
    """
    recipe = read_run(run_dir).recipe
    name = name or recipe.name
    version = version or Repository(repository).next_version(name)
    target = repository / name / str(version)
    if target.exists():
        raise ConfigError(
            f"A released bundle is never overwritten; {target} exists. Take --version next."
        )
    settings = settings or EvaluationSettings()
    model = load_trained_model(run_dir, data_dir=data_dir)
    evaluation = model.stored_evaluation(settings) or model.evaluate(
        settings=settings, device=device, console=console
    )
    dataset, x = model.dataset, model.x
    config = BundleConfig(
        name=name,
        version=version,
        vae=recipe.vae,
        image=recipe.image,
        labels=dataset.class_names,
        provenance=model.provenance,
    )
    vae = model.vae.cpu()  # where the evaluation left it, it may be elsewhere
    pictures = {"reconstructions.png": picture_of(reconstruct_some(vae, x), config.image)}
    if vae.has_density:
        pictures["samples.png"] = picture_of(draw_samples(vae, _NUM_SAMPLES), config.image)
    _check_size(vae, evaluation, pictures)
    save_bundle(
        target,
        vae=vae,
        config=config,
        evaluation=evaluation,
        card=write_card(config, evaluation, dataset, vae),
        pictures=pictures,
        parity_inputs=x[torch.arange(8) % len(x)],  # of a small test split, some again
    )
    return target


def _check_size(vae: VAE, evaluation: Evaluation, pictures: dict[str, bytes]) -> None:
    weights = sum(tensor.numel() * 4 for tensor in vae.state_dict().values())
    size = weights + len(evaluation.model_dump_json(indent=2)) + sum(map(len, pictures.values()))
    if size > MAX_BUNDLE_BYTES:
        raise ConfigError(
            f"A bundle has at most {MAX_BUNDLE_BYTES / 2**20:g} MiB; received {size / 2**20:.1f} "
            f"MiB, {weights / 2**20:.1f} of them weights. Train a smaller model."
        )
