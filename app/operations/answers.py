"""Answers of the operations as JSON has them: types and descriptions of every field.

Fields of scores derive from models/scores/, where each is written once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from models.scores.anomaly_score import AnomalyScore
from models.scores.columns import Column, columns_of
from models.scores.elbo_score import ElboScore
from models.scores.evidence_score import EvidenceScore
from models.warnings import Code

Vector = list[float]
Latents = Annotated[
    list[Vector | list[Vector] | list[list[Vector]]],
    Field(description="N x latent shape."),
]
LatentSamples = Annotated[
    list[list[Vector | list[Vector] | list[list[Vector]]]],
    Field(description="N x S x latent shape."),
]
JSONImage = Annotated[
    str | list[Vector] | list[list[Vector]],
    Field(description="Base64, a data URL, or numbers (H, W), (C, H, W) or (H, W, C)."),
]
ImageNumbers = list[list[list[Vector]]]
Images = Annotated[
    list[str] | ImageNumbers,
    Field(description="Base64 PNG each, or numbers N x C x H x W in 0..1 with `encoding=float`."),
]
Preprocessing = Annotated[
    list[list[str]],
    Field(description="What was done to each item before the model saw it, in order."),
]


class Schema(BaseModel):
    """An answer; fields are only ever added within v1."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PreprocessingStep(Schema):
    """One step from the image that was sent to the one that the model saw."""

    op: Annotated[str, Field(description="orient, invert, grey, resize, crop, binarize, ...")]
    from_: Annotated[
        str | None,
        Field(alias="from", description="Before: a size (width x height), colour or levels."),
    ]
    to: Annotated[str | None, Field(description="After.")]
    how: Annotated[
        str | None, Field(description="By what: a kernel, a background, a binarisation.")
    ]


class AnswerWarning(Schema):
    """What is doubtful about an item; the answer is given all the same."""

    code: Annotated[Code, Field(description="What is doubtful, for programs.")]
    message: Annotated[str, Field(description="The same in words, what it means and a fix.")]
    item: Annotated[
        int | None,
        Field(description="Index of the picture or latent; null if of the whole request."),
    ]


class Envelope(Schema):
    """Fields of every answer of an operation."""

    model: str
    version: int
    warnings: Annotated[
        list[AnswerWarning],
        Field(description="What is doubtful about the items, in their order; empty if nothing is."),
    ]
    preprocessing_steps: Annotated[
        list[list[PreprocessingStep]] | None,
        Field(
            description="`preprocessing` as objects, for each image. Present where images came in."
        ),
    ] = None
    label_used: Annotated[
        list[str] | None,
        Field(
            description="Only of a model with labels: the label of each item, given or inferred; "
            "null where the answer is of no single label."
        ),
    ] = None


class Drawn(Envelope):
    """An answer that may depend on random draws."""

    seed: Annotated[
        int | None, Field(description="Seed of all draws; present where anything was drawn.")
    ] = None


class LatentGroup(Schema):
    """Slice of the latent that one layer of a hierarchy takes."""

    name: str
    start: int
    stop: Annotated[int, Field(description="One past its last number.")]
    shape: list[int]


class EncodeAnswer(Drawn):
    """q(z|x) of each image."""

    preprocessing: Preprocessing
    mean: Latents
    mean_kind: Annotated[
        Literal["posterior", "ancestral"],
        Field(
            description="Ancestral for layers of latents: each layer's mean given the mean of the "
            "layer drawn before it."
        ),
    ]
    std: Annotated[Latents | None, Field(description="Null for an autoencoder.")]
    kl_nats: Annotated[
        list[float | None] | None,
        Field(description="KL(q(z|x) || p(z)) of each image; null when it has no closed form."),
    ]
    samples: LatentSamples | None = None
    groups: Annotated[
        list[LatentGroup] | None, Field(description="Layers of latents, the one next to x first.")
    ] = None
    num_modes: Annotated[
        list[int] | None,
        Field(description="Modes of p(z|x) that were found; only with `inference=refined`."),
    ] = None


class DecodeAnswer(Drawn):
    """p(x|z) of each latent: `images`, or `logits` if these were asked for."""

    output: Literal["mean", "sample", "logits"]
    images: Images | None = None
    logits: ImageNumbers | None = None


class ReconstructAnswer(Drawn):
    """p(x|z) at the posterior mean of each image."""

    preprocessing: Preprocessing
    output: Literal["mean", "sample"]
    images: Images
    latents: Latents
    squared_error: Annotated[
        Vector | None,
        Field(
            description="With `with_error`: squared error of each image, the mean over pixels and "
            "channels, on the scale 0..1."
        ),
    ] = None
    ssim: Annotated[
        Vector | None,
        Field(
            description="With `with_error`: structural similarity of each image (Wang et al. "
            "2004); 1 for equal images."
        ),
    ] = None


class SampleAnswer(Drawn):
    """p(x|z) at latents drawn from the prior."""

    output: Literal["mean", "sample"]
    temperature: float
    is_model_sample: Annotated[bool, Field(description="False unless the temperature is 1.")]
    images: Images
    latents: Latents


class InterpolateAnswer(Envelope):
    """The mean of p(x|z) along a path between two latents."""

    preprocessing: Preprocessing | None = None
    path: Literal["linear", "spherical"]
    steps: int
    images: Images
    latents: Latents


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Bits per dim of each score of a batch, and its percentile among stored scores."""

    bits_per_dim: Annotated[
        np.ndarray | None,
        Column(
            float | None,
            "Upper bound in bits per dim; null if the likelihood is a density.",
            example=0.1625,
        ),
    ]
    bits_per_dim_reason: Annotated[
        str | None, Column(str | None, "Why `bits_per_dim` is null; null if it is not.")
    ]
    percentile: Annotated[
        list[float | None],
        Column(
            float | None,
            "Rank among the scores that the bundle stores for n held-out test images, in percent: "
            "100 x (1 + number of them that are not higher) / (n + 1).",
            example=41.3,
        ),
    ]
    percentile_reason: Annotated[
        list[str | None], Column(str | None, "Why `percentile` is null; null if it is not.")
    ]
    reference_n: Annotated[
        int | None,
        Column(int | None, "Number of stored scores behind the percentile, n.", example=10000),
    ]


class Scored(Drawn):
    """A score of each image."""

    preprocessing: Preprocessing


def score_answer(name: str, score: type) -> type[Scored]:
    """Derive the answer `{name}Answer`, with one `{name}Result` per image, from a score's class."""
    words = (score.__doc__ or "").partition("\n")[0]
    result = _result(name, score, words, columns_of(Comparison))
    results: Any = (list[result], ...)  # type: ignore[valid-type]
    return create_model(f"{name}Answer", __base__=Scored, __doc__=words, results=results)


def _result(
    name: str, score: type, words: str, more: Mapping[str, Column], **others: Any
) -> type[Schema]:
    """`{name}Result`, with a field for each column of a score's class, and of what is more."""
    columns = {**columns_of(score), **more}
    fields: dict[str, Any] = {
        field: (column.kind, Field(description=column.words)) for field, column in columns.items()
    }
    return create_model(f"{name}Result", __base__=Schema, __doc__=words, **fields, **others)


ElboAnswer = score_answer("Elbo", ElboScore)
LogLikelihoodAnswer = score_answer("LogLikelihood", EvidenceScore)

_MAP = (
    str | list[list[Vector]] | None,
    Field(
        None,
        description="Where the reconstruction fails: base64 PNG, or numbers C x H x W in 0..1 "
        "with `encoding=float`. Absent unless `map` asks for it.",
    ),
)
AnomalyResult = _result(
    "Anomaly",
    AnomalyScore,
    "Scores of oddness of one image, and their p-values.",
    {},
    map=_MAP,
)


class AnomalyAnswer(Scored):
    """Scores of oddness of each image, and their p-values among good pictures."""

    alpha: Annotated[
        float, Field(description="Share of good pictures that may be called anomalous.")
    ]
    reference_n: Annotated[
        int, Field(description="Held-out good pictures that p-values are ranked among, n.")
    ]
    smallest_p_value: Annotated[
        float, Field(description="1 / (n + 1): no picture can have a smaller p-value.")
    ]
    results: list[AnomalyResult]  # type: ignore[valid-type]


class ClassifyResult(Schema):
    """q(y|x) of one image."""

    label: Annotated[str, Field(description="Most probable label.")]
    probabilities: Annotated[
        Vector, Field(description="q(y|x) of each label, in the order of `labels`.")
    ]


class ClassifyAnswer(Drawn):
    """q(y|x) of each image."""

    preprocessing: Preprocessing
    labels: Annotated[
        list[str], Field(description="Names of the labels, or indices of a mixture's components.")
    ]
    method: Annotated[
        Literal["classifier", "bayes", "components"],
        Field(
            description="How the probabilities were found: by the model's classifier; by Bayes' "
            "rule over importance-sampled p(x|y); or as the exact p(z|x) of a mixture."
        ),
    ]
    num_samples: Annotated[
        int | None, Field(description="Importance samples for each label, of the method `bayes`.")
    ] = None
    results: list[ClassifyResult]


@cache
def text_fields(answer: type[BaseModel]) -> frozenset[str]:
    """Names of the fields of an answer, and of its results, that hold text or lists of it."""
    fields = dict(answer.model_fields)
    if "results" in fields:
        (result,) = get_args(fields["results"].annotation)
        fields |= result.model_fields
    return frozenset(
        name for name, field in fields.items() if all(map(_is_text, _leaves(field.annotation)))
    )


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types inside of unions and lists, except None."""
    if get_origin(annotation) in (None, Literal):
        if annotation is not type(None):
            yield annotation
    else:
        for part in get_args(annotation):
            yield from _leaves(part)


def _is_text(leaf: Any) -> bool:
    values = get_args(leaf)
    return all(isinstance(value, str) for value in values) if values else leaf is str
