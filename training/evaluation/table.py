"""An evaluation as a table for the terminal, and how tables write a number and its error."""

from math import isnan

from rich import box
from rich.table import Column, Table

from models.bundle.schema import Annealed, Estimate, Evaluation, Paired
from training.evaluation.baselines import DESCRIPTIONS
from training.evaluation.proportion import format_interval
from training.evaluation.scoring import name_annealing, name_estimator

ABSENT = "-"


def format_evaluation(evaluation: Evaluation) -> Table:
    """The scores with their units and errors, a row each."""
    table = Table(
        "quantity",
        *(Column(unit, justify="right") for unit in ("images", "nats per image")),
        *(Column(unit, justify="right") for unit in ("+- images", "+- draws", "bits/dim")),
        title=f"{evaluation.dataset}, {evaluation.split} split",
        caption="+- is one standard error: over images, and its part that comes from the draws",
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
    for row in list_annealed(evaluation):
        table.add_row(*row)
    images = f"{evaluation.num_images:,}"
    for baseline in evaluation.baselines:
        bits = f"{baseline.bits_per_dim:.4f}"
        table.add_row(DESCRIPTIONS[baseline.kind], f"{baseline.n:,}", "", "", "", bits)
    if evaluation.rate_nats is not None:
        table.add_row("rate (mean KL)", images, f"{evaluation.rate_nats:.2f}")
        table.add_row("distortion", images, f"{evaluation.distortion_nats:.2f}")
    for i, kl in enumerate(evaluation.kl_per_group_nats, 1):
        table.add_row(f"rate of group {i}", images, f"{kl:.2f}")
    table.add_row("active units", images, count_active_units(evaluation))
    if evaluation.squared_error is not None:
        table.add_row("squared error (no nats)", images, f"{evaluation.squared_error:.4f}")
    if (found := evaluation.classification) is not None:
        share = f"{100 * found.accuracy:.2f} %"
        table.add_row(f"labels right, by {found.method}", f"{found.n:,}", share)
        table.add_row("  their interval of 95 %", "", format_interval(found))
    return table


def list_annealed(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Rows of what was annealed, in tables and model cards: name, images, nats, both errors, bits.

    The images are few: refined estimates of the same ones stand below theirs, with the difference.
    """
    rows: list[tuple[str, ...]] = []
    if (found := evaluation.annealed) is not None:
        count = f"{found.n:,}"
        given = ", given the labels" if found.given_labels else ""
        bits = format_optional(found.bits_per_dim, ".4f")
        rows.append((name_annealing(found) + given, count, *_in_nats(found), bits))
        if (paired := found.refined) is not None:
            name = f"refined, K = {paired.num_samples:,}, the same images"
            rows.append((name, count, *_in_nats(paired), ""))
            apart = f"{paired.difference_nats:+.3f}", f"{paired.difference_error_nats:.3f}"
            rows.append(("AIS minus refined", count, *apart, "", ""))
    if (bounds := evaluation.bidirectional) is not None:
        gap = f"{bounds.gap_nats:.3f}", f"{bounds.gap_error_nats:.3f}"
        rows.append(("BDMC gap, simulated images", f"{bounds.n:,}", *gap, "", ""))
    return rows


def _in_nats(found: Annealed | Paired) -> tuple[str, ...]:
    draws = f"{found.monte_carlo_error_nats:.3f}"
    return f"{found.mean_nats:.2f}", f"{found.standard_error_nats:.2f}", draws


def describe_estimator(estimate: Estimate) -> str:
    """The name of an estimate's row in tables and model cards."""
    name = name_estimator(estimate.estimator, estimate.num_samples)
    return name if estimate.difference is None else f"{name}, by difference"


def count_active_units(evaluation: Evaluation) -> str:
    """Active units, of how many where that is known."""
    known = len(evaluation.kl_per_dimension_nats)  # 0 where the KL has no closed form
    return f"{evaluation.active_units} of {known}" if known else f"{evaluation.active_units}"


def format_optional(value: float | None, form: str) -> str:
    """A number in that form, or a dash for None and NaN."""
    return ABSENT if value is None or isnan(value) else format(value, form)


def format_with_error(
    value: float | None, error: float | None, form: str = ".2f", *, sign: str = "+-"
) -> str:
    """A number and its standard error; without an error the number alone, without both a dash."""
    if value is None or error is None:
        return format_optional(value, form)
    return f"{value:{form}} {sign} {error:{form}}"
