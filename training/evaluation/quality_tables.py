"""Reconstructions and embeddings of an evaluation as tables, for the terminal and for a report."""

from rich import box
from rich.table import Column, Table

from models.bundle.schema import Embedding, Evaluation, Reconstruction
from training.evaluation.proportion import format_share_interval


def format_quality(evaluation: Evaluation) -> list[Table]:
    """A table of reconstructions and one of embeddings, where the evaluation has them."""
    tables = []
    if evaluation.reconstructions:
        tables.append(_format_reconstructions(evaluation))
    if evaluation.embeddings:
        tables.append(_format_embeddings(evaluation))
    return tables


def _format_reconstructions(evaluation: Evaluation) -> Table:
    table = Table(
        "reconstructions by",
        *(Column(name, justify="right") for name in ("images", "squared error", "+-")),
        *(Column(name, justify="right") for name in ("SSIM", "+- SSIM")),
        caption="squared error: mean over pixels on the scale 0..1, lower is better; SSIM: 1 for "
        "equal pictures; +- is one standard error over images",
        box=box.SIMPLE,
    )
    for found in evaluation.reconstructions:
        table.add_row(
            name_reconstruction(found),
            f"{found.n:,}",
            f"{found.mean_squared_error:.5f}",
            f"{found.standard_error:.5f}",
            f"{found.ssim:.4f}",
            f"{found.standard_error_ssim:.4f}",
        )
    return table


def _format_embeddings(evaluation: Evaluation) -> Table:
    table = Table(
        "labels right, %, by",
        *(Column(name, justify="right") for name in ("images", "linear probe", "5 neighbours")),
        caption=f"fitted to {evaluation.embeddings[0].num_train:,} training images; in brackets "
        "the interval of 95 %",
        box=box.SIMPLE,
    )
    for found in evaluation.embeddings:
        cells = [
            format_accuracy(share, found.n)
            for share in (found.linear_accuracy, found.neighbours_accuracy)
        ]
        table.add_row(name_embedding(found), f"{found.n:,}", *cells)
    return table


def name_reconstruction(found: Reconstruction) -> str:
    """The name of a reconstruction's row in tables and model cards."""
    return "this model" if found.kind == "model" else f"PCA, {found.num_components:,} components"


def name_embedding(found: Embedding) -> str:
    """The name of an embedding's row in tables and model cards."""
    names = {
        "posterior_mean": "posterior means",
        "pca": "PCA components",
        "pixels": "pixel values",
    }
    return f"{found.num_features:,} {names[found.kind]}"


def format_accuracy(share: float, count: int) -> str:
    """A share of right labels in per cent, and its interval of 95 %."""
    return f"{100 * share:.1f} ({format_share_interval(share, count, '.1f')})"
