"""Parameters of the operations: types, bounds, defaults and descriptions.

Pydantic models only: `app.api.read_parameters` reads them from a request.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from models.scores.kinds import EvidenceKind, Inference

MAX_SEED = 2**63 - 1
INTEGER = re.compile(r"[0-9]+|-[1-9][0-9]*")
NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def plain_integer(value: Any) -> Any:
    """Refuse what Python would read as a whole number besides digits: `1_0`, ` 1`, `1.0`, true.

    Raises:
        ValueError: It is written otherwise.
    """
    return _written_as(INTEGER, value)


def plain_number(value: Any) -> Any:
    """Refuse what Python would read as a number besides digits: `1_0.5`, ` 1`, `nan`, true.

    Raises:
        ValueError: It is written otherwise.
    """
    return _written_as(NUMBER, value)


def _written_as(pattern: re.Pattern[str], value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not pattern.fullmatch(value)):
        raise ValueError("not a number in ASCII digits")
    return value


def _text_if_number(value: Any) -> Any:
    return str(value) if type(value) is int else value


class Parameters(BaseModel):
    """Parameters of an operation; an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = (annotation, *get_args(annotation))
        if int in kinds:
            return plain_integer(value)
        return plain_number(value) if float in kinds else value


class Labelled(Parameters):
    """Parameters of an operation that can be conditioned on a label."""

    label: Annotated[
        Annotated[str, Field(max_length=64)] | None,
        BeforeValidator(_text_if_number),
        Field(
            description="Label that conditions the model: a name or an index. Only for models "
            "trained with labels.",
        ),
    ] = None


class Seeded(Parameters):
    """Parameters of an operation that may draw random numbers."""

    seed: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_SEED,
            description="Seed of all random draws. If absent, one below 2^53 is drawn; the answer "
            "says which.",
        ),
    ] = None
    first_item: Annotated[
        int,
        Field(
            ge=0,
            le=2**31 - 1,
            description="Index of the first item in the noise streams. A long list sent in parts "
            "gets the answers of the whole list if each part gives the index of its first item.",
        ),
    ] = 0


class Reading(Parameters):
    """How pictures and arrays become observations."""

    resize: Annotated[
        Literal["auto", "never"],
        Field(description="Resize pictures of another size (`auto`), or refuse them (`never`)."),
    ] = "auto"
    invert: Annotated[
        bool,
        Field(
            description="Invert the picture: exchange black and white, as for dark digits on "
            "light paper."
        ),
    ] = False
    centre: Annotated[
        bool, Field(description="Centre the picture: move its centre of mass to the middle.")
    ] = False
    pixel_max: Annotated[
        int | None,
        Field(
            ge=1,
            le=65535,
            description="Value of a white pixel. If absent, 255 for integers, 1 for floats and "
            "booleans, and a picture file's own; 4095 for 12 bits in a 16-bit file.",
        ),
    ] = None
    binarize: Annotated[
        Literal["threshold"] | None,
        Field(
            description="Binarise at one half (`threshold`) instead of as the model's image spec "
            "says. Percentiles are then null."
        ),
    ] = None
    check: Annotated[
        bool,
        Field(
            description="Check the pictures: score each, as sent and with black and white "
            "exchanged, and warn where the model does not know it. The other numbers stay the same."
        ),
    ] = False


class Rendering(Parameters):
    """How images are written into an answer."""

    encoding: Annotated[
        Literal["png", "float"],
        Field(
            description="Encoding of images in JSON: base64 PNG (`png`), or nested numbers in 0..1 "
            "(`float`)."
        ),
    ] = "png"
    dtype: Annotated[
        Literal["float32", "uint8"],
        Field(
            description="Type of images in npy and npz: unrounded in 0..1 (`float32`), or bytes "
            "in 0..255 as in the PNG (`uint8`)."
        ),
    ] = "float32"
    columns: Annotated[
        int | None,
        Field(
            ge=1,
            le=1024,
            description="Columns of a PNG grid. If absent, about the square root of the number of "
            "images; an interpolation is one row.",
        ),
    ] = None


ArrayFormat = Annotated[
    Literal["json", "npy", "npz"] | None,
    Field(description="Format of the answer; overrides the Accept header."),
]
StreamedFormat = Annotated[
    Literal["json", "npy", "npz", "ndjson", "event-stream"] | None,
    Field(
        description="Format of the answer; overrides the Accept header. ndjson and event-stream "
        "have a line for each running estimate, and the JSON answer as the last."
    ),
]
ImageFormat = Annotated[
    Literal["json", "png", "npy", "npz"] | None,
    Field(description="Format of the answer; overrides the Accept header."),
]
AnimatedFormat = Annotated[
    Literal["json", "png", "npy", "npz", "webp", "gif"] | None,
    Field(
        description="Format of the answer; overrides the Accept header. webp and gif are "
        "animations."
    ),
]
MeanOrSample = Annotated[
    Literal["mean", "sample"],
    Field(description="Output pixels: the likelihood's mean, or a sample of the likelihood."),
]


Posterior = Annotated[
    Inference,
    Field(
        description="Whose approximate posterior: the encoder's (`amortised`), or normals fitted "
        "to each image (`refined`), closer to the exact one and far dearer. Needs continuous "
        "latents."
    ),
]


class EncodeParameters(Reading, Seeded, Labelled):
    """Parameters of `encode`."""

    num_samples: Annotated[
        int, Field(ge=0, description="Samples of the approximate posterior for each image.")
    ] = 0
    inference: Posterior = "amortised"
    format: ArrayFormat = None


class DecodeParameters(Rendering, Seeded, Labelled):
    """Parameters of `decode`."""

    output: Annotated[
        Literal["mean", "sample", "logits"],
        Field(
            description="Output pixels: the likelihood's mean, a sample of it, or its logits if "
            "it has logits."
        ),
    ] = "mean"
    format: ImageFormat = None


class ReconstructParameters(Rendering, Reading, Seeded, Labelled):
    """Parameters of `reconstruct`."""

    output: MeanOrSample = "mean"
    with_error: Annotated[
        bool,
        Field(
            description="Add how close each answered image comes to the one that the model saw: "
            "`squared_error` and `ssim`."
        ),
    ] = False
    format: ImageFormat = None


class SampleParameters(Rendering, Seeded, Labelled):
    """Parameters of `sample`."""

    n: Annotated[int, Field(ge=1, description="Number of images.")] = 16
    temperature: Annotated[
        float,
        Field(
            ge=0.0,
            le=2.0,
            description="Temperature of the prior: scales its normal distributions about their "
            "location. Only temperature 1 samples the model.",
        ),
    ] = 1.0
    output: MeanOrSample = "mean"
    format: ImageFormat = None


class InterpolateParameters(Rendering, Reading, Labelled):
    """Parameters of `interpolate`."""

    steps: Annotated[
        int, Field(ge=2, description="Number of images along the path, both ends included.")
    ] = 8
    path: Annotated[
        Literal["linear", "spherical"],
        Field(
            description="Path between the ends: a straight line (`linear`), or an arc along which "
            "the norm changes linearly (`spherical`, needs a standard normal prior)."
        ),
    ] = "linear"
    format: AnimatedFormat = None


class ElboParameters(Reading, Seeded, Labelled):
    """Parameters of `elbo`."""

    num_samples: Annotated[
        int,
        Field(
            ge=1,
            description="Samples of the approximate posterior for each image; more make the "
            "standard error smaller.",
        ),
    ] = 100
    inference: Posterior = "amortised"
    pixels: Annotated[
        bool,
        Field(
            description="Add what each pixel adds to the reconstruction term: "
            "`pixel_log_likelihood_nats`."
        ),
    ] = False
    format: ArrayFormat = None


TOLERANCE_NATS, FIXED_SAMPLES, MOST_SAMPLES = 0.1, 1000, 3000
"""Defaults of `log-likelihood`: the tolerance; K without one; and the largest K with one."""


class LogLikelihoodParameters(Reading, Seeded, Labelled):
    """Parameters of `log-likelihood`."""

    estimator: Annotated[
        EvidenceKind,
        Field(
            description="Estimator of log p(x): importance sampling from the posterior (`iwae`) "
            "or from the prior (`prior`), the exact value (`exact`, needs an exact posterior), or "
            "annealed importance sampling (`ais`), by far the slowest."
        ),
    ] = "iwae"
    num_samples: Annotated[
        int | None,
        Field(
            ge=1,
            description="Importance samples K for each image; the expected bound rises with K. "
            "With `tolerance_nats` the largest K. If absent, 3000 with a tolerance, else 1000.",
        ),
    ] = None
    inference: Annotated[
        Inference | None,
        Field(
            description="Proposal of the draws of `iwae`: the encoder's (`amortised`), or normals "
            "fitted to each image (`refined`), whose weights are far more even. The chains of "
            "`ais` start there. Needs continuous latents. If absent, the cheaper one that reaches "
            "a tolerance, else `amortised`."
        ),
    ] = None
    tolerance_nats: Annotated[
        float | None,
        Field(
            ge=0.001,
            le=10.0,
            description="Standard error to reach, nats: each image takes as many draws as its "
            "pilots ask for, up to `num_samples`. If absent, 0.1 unless `num_samples`, "
            "`inference` or another `estimator` is given.",
        ),
    ] = None
    ais_steps: Annotated[
        int, Field(ge=2, description="Steps of each annealed chain; only of `ais`.")
    ] = 100
    ais_chains: Annotated[
        int,
        Field(
            ge=16,
            description="Annealed chains of each image, a multiple of 16; only of `ais`, which has "
            "no `num_samples`.",
        ),
    ] = 16
    format: StreamedFormat = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Fill in what depends on the other parameters."""
        given = {name: value for name, value in data.items() if value is not None}
        is_free = given.get("estimator", "iwae") == "iwae"
        if is_free and not given.keys() & {"num_samples", "inference", "tolerance_nats"}:
            given["tolerance_nats"] = TOLERANCE_NATS
        if "tolerance_nats" in given:
            return {"num_samples": MOST_SAMPLES, **given}
        return {"num_samples": FIXED_SAMPLES, "inference": "amortised", **given}


class ClassifyParameters(Reading, Seeded):
    """Parameters of `classify`."""

    num_samples: Annotated[
        int,
        Field(
            ge=1,
            description="Importance samples for each image and label; only the method `bayes` "
            "draws them.",
        ),
    ] = 100
    format: ArrayFormat = None


class AnomalyParameters(Rendering, Reading, Seeded):
    """Parameters of `anomaly`."""

    alpha: Annotated[
        float | None,
        Field(
            gt=0.0,
            lt=1.0,
            description="Share of good pictures that may be called anomalous; at least the "
            "smallest p-value that the bundle's good pictures can give. If absent, 0.01, or that "
            "one where it is larger.",
        ),
    ] = None
    map: Annotated[
        Literal["none", "error", "overlay"],
        Field(
            description="Add where the reconstruction fails: each pixel's error (`error`), or the "
            "picture with the error in red (`overlay`). A PNG answer shows the overlay by default."
        ),
    ] = "none"
    format: ImageFormat = None
