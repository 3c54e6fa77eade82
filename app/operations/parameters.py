"""The parameters of each operation, with their bounds and their words.

Pydantic only: nothing here computes, reads a request or knows torch.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_SEED = 2**63 - 1


def _text_if_number(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _number_if_digits(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 8 else value


class Parameters(BaseModel):
    """Frozen, and refuses names that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Labelled(Parameters):
    """Parameters of an operation that a label conditions."""

    label: Annotated[
        str | None,
        BeforeValidator(_text_if_number),
        Field(
            max_length=64,
            description="Name or index of the label; only for a model that was trained with "
            "labels.",
        ),
    ] = None


class Seeded(Parameters):
    """Parameters of an operation that may draw."""

    seed: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_SEED,
            description="Seed of everything drawn. Drawn by the server (below 2^53) if absent; "
            "every answer that used one repeats it.",
        ),
    ] = None
    first_item: Annotated[
        int,
        Field(
            ge=0,
            le=2**31 - 1,
            description="Index of the request's first item in the noise streams: a long list sent "
            "in parts, each with its own first_item, gets the answers of the whole.",
        ),
    ] = 0


class Reading(Parameters):
    """How pictures and arrays become observations."""

    resize: Annotated[
        Literal["auto", "never"],
        Field(description="`never` refuses pictures of another size instead of resizing them."),
    ] = "auto"
    invert: Annotated[bool, Field(description="Exchange black and white.")] = False
    centre: Annotated[bool, Field(description="Move the centre of mass to the centre.")] = False
    pixel_max: Annotated[
        Literal[1, 255, 65535] | None,
        BeforeValidator(_number_if_digits),
        Field(
            description="The number that means white. Integers default to 255, floats and "
            "booleans to 1."
        ),
    ] = None
    binarize: Annotated[
        Literal["threshold"] | None,
        Field(
            description="Binarise at one half instead of as the model's image spec says; makes "
            "percentiles null."
        ),
    ] = None


class Rendering(Parameters):
    """How images are written into an answer."""

    encoding: Annotated[
        Literal["png", "float"],
        Field(description="Images in JSON: base64 PNG, or nested numbers in 0..1."),
    ] = "png"
    dtype: Annotated[
        Literal["float32", "uint8"],
        Field(description="Images in npy and npz: unrounded in 0..1, or bytes as in the PNG."),
    ] = "float32"
    columns: Annotated[
        int | None,
        Field(ge=1, le=1024, description="Columns of a PNG grid; near the square root if absent."),
    ] = None


ArrayFormat = Annotated[
    Literal["json", "npy", "npz"] | None,
    Field(description="Form of the answer; wins over the Accept header."),
]
ImageFormat = Annotated[
    Literal["json", "png", "npy", "npz"] | None,
    Field(description="Form of the answer; wins over the Accept header."),
]
AnimatedFormat = Annotated[
    Literal["json", "png", "npy", "npz", "webp", "gif"] | None,
    Field(description="Form of the answer; wins over the Accept header. webp and gif move."),
]
MeanOrSample = Annotated[
    Literal["mean", "sample"],
    Field(description="The likelihood's mean, or a draw from it."),
]


class EncodeParameters(Reading, Seeded, Labelled):
    """Parameters of `encode`."""

    num_samples: Annotated[
        int, Field(ge=0, description="Draws from the posterior for each image.")
    ] = 0
    format: ArrayFormat = None


class DecodeParameters(Rendering, Seeded, Labelled):
    """Parameters of `decode`."""

    output: Annotated[
        Literal["mean", "sample", "logits"],
        Field(description="The likelihood's mean, a draw from it, or its logits if it has any."),
    ] = "mean"
    format: ImageFormat = None


class ReconstructParameters(Rendering, Reading, Seeded, Labelled):
    """Parameters of `reconstruct`."""

    output: MeanOrSample = "mean"
    format: ImageFormat = None


class SampleParameters(Rendering, Seeded, Labelled):
    """Parameters of `sample`."""

    n: Annotated[int, Field(ge=1, description="Number of images.")] = 16
    temperature: Annotated[
        float,
        Field(
            ge=0.0,
            le=2.0,
            description="Scales the prior's normals about their location. Only at 1 are the images "
            "samples of the model.",
        ),
    ] = 1.0
    output: MeanOrSample = "mean"
    format: ImageFormat = None


class InterpolateParameters(Rendering, Reading, Labelled):
    """Parameters of `interpolate`."""

    steps: Annotated[int, Field(ge=2, description="Number of images, both ends included.")] = 8
    path: Annotated[
        Literal["linear", "spherical"],
        Field(
            description="Straight, or along the arc with the norm changing linearly; the latter "
            "needs a standard normal prior."
        ),
    ] = "linear"
    format: AnimatedFormat = None


class ElboParameters(Reading, Seeded, Labelled):
    """Parameters of `elbo`."""

    num_samples: Annotated[
        int, Field(ge=1, description="Draws from the posterior for each image.")
    ] = 100
    format: ArrayFormat = None


class LogLikelihoodParameters(Reading, Seeded, Labelled):
    """Parameters of `log-likelihood`."""

    estimator: Annotated[
        Literal["iwae", "prior", "exact"],
        Field(
            description="Importance sampling from the posterior, or from the prior; or log p(x) "
            "itself, of a model whose posterior is exact."
        ),
    ] = "iwae"
    num_samples: Annotated[int, Field(ge=1, description="Importance samples K for each image.")] = (
        1000
    )
    format: ArrayFormat = None


class ClassifyParameters(Reading, Seeded):
    """Parameters of `classify`."""

    num_samples: Annotated[
        int,
        Field(
            ge=1,
            description="Importance samples for each image and label, of the method `bayes`.",
        ),
    ] = 100
    format: ArrayFormat = None
