"""The card's section on alarms: what p-values are ranked among, and how many were false."""

from models.bundle.good_pictures import FalseAlarms, GoodPictures
from training.evaluation.proportion import wilson_interval
from training.export.sections import with_section

_TITLE = "## Alarms"


def with_alarms(card: str, good: GoodPictures) -> str:
    """A card with this section, in place of another one."""
    return with_section(card, _section(good))


def _section(good: GoodPictures) -> str:
    n = len(good.evidence)
    lines = [
        _TITLE,
        "",
        f"`anomaly` ranks pictures among {n:,} good ones, of `{good.dataset}` ({good.split}), that "
        "were used neither in training nor to choose the weights.",
        f"No p-value is below 1 / ({n:,} + 1) = {1 / (n + 1):.2g}.",
    ]
    if good.false_alarms:
        lines += [
            f"Of {good.false_alarms[0].n:,} other good pictures, so many were called anomalous:",
            "",
            "| alpha, % | false alarms | share, % (95 % interval) |",
            "| ---: | ---: | ---: |",
            *map(_row, good.false_alarms),
        ]
    return "\n".join(lines) + "\n"


def _row(found: FalseAlarms) -> str:
    low, high = wilson_interval(found.count / found.n, found.n)
    return (
        f"| {100 * found.alpha:g} | {found.count} of {found.n:,} | "
        f"{100 * found.count / found.n:.2f} ({100 * low:.2f}-{100 * high:.2f}) |"
    )
