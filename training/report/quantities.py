"""The numbers of a run's log by their names: what each one is, in which unit, and its charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.recipes.recipe import Recipe
from training.report.charts import Line, draw_lines

_NATS = "nats per image"


@dataclass(frozen=True)
class Quantity:
    """A number of the log, in words."""

    title: str
    unit: str
    meaning: str


QUANTITIES = {
    "train_rate_nats": Quantity(
        "Rate",
        _NATS,
        "The KL of q(z|x) from the prior: how much a latent says about its picture. Near 0, the "
        "decoder does not use the latents.",
    ),
    "train_distortion_nats": Quantity(
        "Distortion",
        _NATS,
        "Minus the log-likelihood of a picture given its latent: how badly it is reconstructed. "
        "The ELBO is minus rate minus distortion.",
    ),
    "train_squared_error": Quantity(
        "Squared error",
        "squared error per image",
        "Between a picture and its reconstruction, on the scale of 0 to 1, summed over its pixels.",
    ),
    "train_classification_nats": Quantity(
        "Classification", _NATS, "Minus the log-probability of the right label."
    ),
    "train_label_entropy_nats": Quantity(
        "Entropy of the label",
        _NATS,
        "Of q(y|x) of the pictures whose label training does not know. Near 0, the classifier is "
        "sure of every label, right or wrong.",
    ),
    "validation_label_accuracy": Quantity(
        "Labels right", "", "Share of the validation pictures whose label the classifier names."
    ),
    "train_kl_weight": Quantity(
        "Weight of the KL", "", "What the objective multiplies the KL by: warm-up, cycles and beta."
    ),
    "train_capacity_nats": Quantity("Capacity", _NATS, "The KL that the objective holds to."),
    "learning_rate": Quantity("Learning rate", "", "At the validation."),
    "gradient_norm": Quantity(
        "Gradient norm",
        _NATS,
        "Of the whole gradient before it is clipped; mean over the steps. Above the dashed line, "
        "if there is one, gradients were scaled down.",
    ),
    "images_per_second": Quantity("Speed", "images a second", "Of training, without validations."),
    "images_read_per_second": Quantity(
        "Reading",
        "images a second",
        "Of images from the disk, ahead of the steps.",
    ),
    "skipped_steps": Quantity(
        "Skipped steps", "steps", "Steps whose gradient was not finite, up to then."
    ),
}
"""Every other number of the log that begins with `train_` is a term of its objective."""

_CONSTANT = ("train_kl_weight", "train_capacity_nats", "skipped_steps")
"""Numbers that are shown only where they change."""


@dataclass(frozen=True)
class Chart:
    """A figure of the page."""

    title: str
    svg: str
    caption: str


def draw_log(
    log: Sequence[dict[str, Any]], recipe: Recipe, *, bound: str, unit: str
) -> list[Chart]:
    """The bound and every other number of a log, each over the epochs, with its unit.

    Args:
        log: Lines of the log.
        recipe: The run's recipe.
        bound: Name of the validation bound.
        unit: Unit of the validation bound.
    """
    charts = [_draw_bound(log, bound=bound, unit=unit)]
    others = [name for name in _names(log) if name.startswith("train_") and name not in QUANTITIES]
    for name in [*QUANTITIES, *others]:
        x, y = _points(log, name)
        if not y or name == "train_elbo_nats" or (name in _CONSTANT and len(set(y)) == 1):
            continue
        found = QUANTITIES.get(name) or _term(name)
        lines = [Line(found.title, x, y)]
        if name == "gradient_norm" and max(y) > recipe.optimizer.gradient_clip:
            lines.append(Line("clipped above", x, [recipe.optimizer.gradient_clip] * len(x)))
        about = f"{found.title} over the epochs, {found.unit or 'no unit'}; last: {y[-1]:.4g}."
        svg = draw_lines(lines, x_label="epoch", y_label=found.unit, about=about)
        charts.append(Chart(found.title, svg, f"{found.meaning} Last: {_number(y[-1])}."))
    return [chart for chart in charts if chart.svg]


def _draw_bound(log: Sequence[dict[str, Any]], *, bound: str, unit: str) -> Chart:
    x, y = _points(log, "validation_bound_nats")
    if not y:
        return Chart("", "", "")
    errors = [line.get("validation_standard_error_nats") for line in log if line["epoch"] in x]
    known = [float(error) for error in errors if error is not None]
    lines = [Line("validation", x, y, known if len(known) == len(y) else ())]
    train_x, train_y = _points(log, "train_elbo_nats")
    if train_y and bound == "ELBO":
        lines.append(Line("training", train_x, train_y))
    best = max(range(len(y)), key=y.__getitem__)
    caption = f"Higher is better. Highest validation: {y[best]:.2f} at epoch {x[best]}."
    if lines[0].errors:
        caption += " The band is two standard errors over the validation images on each side."
    if len(lines) > 1:
        caption += (
            " Training is the mean over the steps since the validation before, by the newest "
            "weights; validation is by the averaged ones."
        )
    svg = draw_lines(
        lines, x_label="epoch", y_label=unit, about=f"{bound} over the epochs. {caption}"
    )
    return Chart(f"Bound: {bound}", svg, caption)


def _points(log: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    found = [(line["epoch"], float(line[name])) for line in log if line.get(name) is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def _names(log: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for line in log for name in line))


def _term(name: str) -> Quantity:
    words = name.removeprefix("train_").removesuffix("_nats").replace("_", " ")
    unit = _NATS if name.endswith("_nats") else ""
    return Quantity(words.capitalize(), unit, "A term of the objective.")


def _number(value: float) -> str:
    return f"{value:,.2f}" if 1 <= abs(value) < 1e6 else f"{value:.3g}"
