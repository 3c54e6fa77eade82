"""The card of a repository on the Hugging Face Hub: a bundle's own under the Hub's metadata."""

import re
from pathlib import PurePath
from typing import Any

from models.bundle.schema import BundleConfig, Evaluation
from training.data.catalogue import DATASETS
from training.evaluation.table import describe_estimator

LIBRARY = "vae-serve"
HUB_DATASETS = {"fashion-mnist": "zalando-datasets/fashion_mnist", "mnist": "ylecun/mnist"}
"""Data sets that the Hub has, by the names that they have here."""
_PICTURE = re.compile(r"\]\(([\w.-]+\.png)\)")


def make_hub_card(repo: str, config: BundleConfig, evaluation: Evaluation, card: str) -> str:
    """The bundle's card with YAML metadata, and with links that lead into its folder.

    Args:
        repo: The repository, USER/NAME.
        config: The bundle's config.
        evaluation: Its evaluation, which the metadata quote.
        card: Its own card.
    """
    from huggingface_hub import ModelCardData

    has_density = config.vae.likelihood.kind != "point"
    results = [*_estimates(config, evaluation), *_reconstructions(config, evaluation)]
    data = ModelCardData(
        license="mit",
        library_name=LIBRARY,
        pipeline_tag="unconditional-image-generation" if has_density else None,
        tags=["vae", "variational-autoencoder"] if has_density else ["autoencoder"],
        datasets=[found] if (found := HUB_DATASETS.get(evaluation.dataset)) else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=config.name if results else None,
        eval_results=results or None,
    )
    title, _, rest = card.partition("\n")
    rest = _PICTURE.sub(rf"]({config.name}/{config.version}/\1)", rest)
    get = (
        f"`vae-lab pull {repo} --repository my-models` verifies this bundle and makes it servable."
    )
    return f"---\n{data.to_yaml().strip()}\n---\n{title}\n\n{get}\n{rest}"


def _estimates(config: BundleConfig, evaluation: Evaluation) -> list[Any]:
    """Bits per dim of each estimate, where they exist, and its nats."""
    results = []
    for estimate in evaluation.estimates:
        name = describe_estimator(estimate)
        if estimate.bits_per_dim is not None:
            bits = round(estimate.bits_per_dim, 5)
            results.append(_result(evaluation, "bits_per_dim", bits, f"bits per dim, {name}"))
        nats = round(estimate.mean_nats, 3)
        results.append(_result(evaluation, "nats_per_image", nats, f"nats per image, {name}"))
    return results


def _reconstructions(config: BundleConfig, evaluation: Evaluation) -> list[Any]:
    results = []
    for row in (row for row in evaluation.reconstructions if row.kind == "model"):
        error = round(row.mean_squared_error, 6)
        results.append(_result(evaluation, "mse", error, "squared error of reconstructions, 0..1"))
        results.append(_result(evaluation, "ssim", round(row.ssim, 4), "SSIM of reconstructions"))
    return results


def _result(evaluation: Evaluation, metric: str, value: float, name: str) -> Any:
    from huggingface_hub import EvalResult

    known = evaluation.dataset in DATASETS
    return EvalResult(
        task_type="unconditional-image-generation",
        dataset_type=HUB_DATASETS.get(evaluation.dataset, evaluation.dataset)
        if known
        else "own-images",
        dataset_name=PurePath(evaluation.dataset).name,
        dataset_split=evaluation.split,
        metric_type=metric,
        metric_value=value,
        metric_name=name,
    )
