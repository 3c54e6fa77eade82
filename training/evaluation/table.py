"""An evaluation in words: the table that a command prints."""

from rich import box
from rich.table import Column, Table

from models.bundle.schema import Estimate, Evaluation
from training.evaluation.baselines import DESCRIPTIONS


def format_evaluation(evaluation: Evaluation) -> Table:
    """The numbers as a table, with their units and errors."""
    table = Table(
        "quantity",
        *(Column(unit, justify="right") for unit in ("images", "nats per image")),
        *(Column(unit, justify="right") for unit in ("+- images", "+- draws", "bits/dim")),
        title=f"{evaluation.dataset}, {evaluation.split} split",
        caption="+- is one standard error: over images, and the part of it that the draws bring",
        box=box.SIMPLE,
    )
    for estimate in evaluation.estimates:
        table.add_row(
            describe_estimator(estimate),
            f"{estimate.n:,}",
            f"{estimate.mean_nats:.2f}",
            f"{estimate.standard_error_nats:.2f}",
            format_optional(estimate.monte_carlo_error_nats, ".3f"),
            format_optional(estimate.bits_per_dim, ".4f"),
        )
    images = f"{evaluation.num_images:,}"
    for baseline in evaluation.baselines:
        bits = f"{baseline.bits_per_dim:.4f}"
        table.add_row(DESCRIPTIONS[baseline.kind], f"{baseline.n:,}", "", "", "", bits)
    if evaluation.rate_nats is not None:
        table.add_row("rate (mean KL)", images, f"{evaluation.rate_nats:.2f}")
        table.add_row("distortion", images, f"{evaluation.distortion_nats:.2f}")
    for i, kl in enumerate(evaluation.kl_per_group_nats, 1):
        table.add_row(f"rate of group {i}", images, f"{kl:.2f}")
    known = len(evaluation.kl_per_dimension_nats)  # 0 where the KL has no closed form
    of_all = f" of {known}" if known else ""
    table.add_row("active units", images, f"{evaluation.active_units}{of_all}")
    if evaluation.squared_error is not None:
        table.add_row("squared error (no nats)", images, f"{evaluation.squared_error:.4f}")
    if (found := evaluation.classification) is not None:
        share = f"{100 * found.accuracy:.2f} +- {100 * found.standard_error:.2f} %"
        table.add_row(f"labels right, by {found.method}", f"{found.n:,}", share)
    return table


def describe_estimator(estimate: Estimate) -> str:
    """A row's name in tables and model cards."""
    if estimate.estimator == "exact":
        return "log p(x), exact"
    if estimate.estimator == "elbo":
        return f"ELBO, {estimate.num_samples} draws"
    return f"IWAE, K = {estimate.num_samples:,}"


def format_optional(value: float | None, form: str) -> str:
    """A number in that form, or a dash."""
    return "-" if value is None else format(value, form)
