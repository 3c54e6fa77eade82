"""Parameters of the operations, for editors and type checkers: docs/api.md says what each means.

Nothing is checked here: the service refuses what it does not know, and says what it knows. None
leaves a parameter out.
"""

from typing import Literal, TypedDict


class Labelled(TypedDict, total=False):
    """Parameters of an operation that can be conditioned on a label."""

    label: str | int | None


class Seeded(TypedDict, total=False):
    """Parameters of an operation that may draw random numbers."""

    seed: int | None
    first_item: int | None


class Reading(TypedDict, total=False):
    """How pictures and arrays become observations."""

    resize: Literal["auto", "never"] | None
    invert: bool | None
    centre: bool | None
    pixel_max: int | None
    binarize: Literal["threshold"] | None
    check: bool | None


class Rendering(TypedDict, total=False):
    """How images are written into an answer."""

    dtype: Literal["float32", "uint8"] | None


class EncodeParameters(Reading, Seeded, Labelled, total=False):
    """Parameters of `encode`."""

    num_samples: int | None
    inference: Literal["amortised", "refined"] | None


class DecodeParameters(Rendering, Seeded, Labelled, total=False):
    """Parameters of `decode`."""

    output: Literal["mean", "sample", "logits"] | None


class ReconstructParameters(Rendering, Reading, Seeded, Labelled, total=False):
    """Parameters of `reconstruct`."""

    output: Literal["mean", "sample"] | None
    with_error: bool | None


class SampleParameters(Rendering, Seeded, Labelled, total=False):
    """Parameters of `sample`; the number of images, `n`, is its own argument."""

    temperature: float | None
    output: Literal["mean", "sample"] | None


class InterpolateParameters(Rendering, Reading, Labelled, total=False):
    """Parameters of `interpolate`."""

    steps: int | None
    path: Literal["linear", "spherical"] | None


class ElboParameters(Reading, Seeded, Labelled, total=False):
    """Parameters of `elbo`."""

    num_samples: int | None
    inference: Literal["amortised", "refined"] | None
    pixels: bool | None


class LogLikelihoodParameters(Reading, Seeded, Labelled, total=False):
    """Parameters of `log_likelihood`."""

    estimator: Literal["iwae", "prior", "exact", "ais"] | None
    num_samples: int | None
    inference: Literal["amortised", "refined"] | None
    tolerance_nats: float | None
    ais_steps: int | None
    ais_chains: int | None


class ClassifyParameters(Reading, Seeded, total=False):
    """Parameters of `classify`."""

    num_samples: int | None


class AnomalyParameters(Rendering, Reading, Seeded, total=False):
    """Parameters of `anomaly`."""

    alpha: float | None
    map: Literal["none", "error", "overlay"] | None
