"""A share of images, such as that of right labels, with its interval of 95 %."""

from math import sqrt

from models.bundle.schema import Classification

NORMAL_975 = 1.959963984540054


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share of `count` images.

    Unlike share +- error it lies within 0 and 1, and has a width where all images or none count.

    Source: Wilson 1927, Journal of the American Statistical Association 22(158), 209-212.
    """
    z = NORMAL_975**2 / count
    centre = (share + z / 2) / (1 + z)
    half = sqrt(share * (1 - share) * z + z * z / 4) / (1 + z)
    return max(0.0, centre - half), min(1.0, centre + half)


def format_interval(found: Classification, form: str = ".2f") -> str:
    """The interval of the share of right labels, in per cent without the sign."""
    return format_share_interval(found.accuracy, found.n, form)


def format_share_interval(share: float, count: int, form: str = ".2f") -> str:
    """Wilson's interval of a share of `count` images, in per cent without the sign."""
    low, high = wilson_interval(share, count)
    return f"{100 * low:{form}} to {100 * high:{form}}"
