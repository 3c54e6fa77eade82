"""The JSON that goes over the wire: typed answers. It parses no parameter and computes nothing."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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


class Envelope(Schema):
    """What every answer of an operation says."""

    model: str
    version: int
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
    """An answer that may rest on draws."""

    seed: Annotated[int | None, Field(description="Present where anything was drawn.")] = None


class LatentGroup(Schema):
    """Where one layer of a hierarchy lies in the latent."""

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


class Score(Schema):
    """What the two scores of an image share."""

    bits_per_dim: Annotated[
        float | None,
        Field(description="An upper bound; null when the likelihood is a density."),
    ]
    bits_per_dim_reason: str | None
    percentile: Annotated[
        float | None,
        Field(description="Rank among the held-out test images' values, 0..100."),
    ]
    percentile_reason: str | None
    reference_n: Annotated[
        int | None, Field(description="Number of stored values behind the percentile.")
    ]
    reason: Annotated[
        str | None, Field(description="Why a number is null, or cannot be relied on.")
    ]


class ElboResult(Score):
    """The ELBO of one image."""

    elbo_nats: float | None
    expected_log_likelihood_nats: float | None
    kl_nats: float | None
    kl_per_dimension_nats: Annotated[
        Vector | None, Field(description="Flattened over the latent shape; null when not analytic.")
    ]
    kl_per_group_nats: Annotated[
        Vector | None, Field(description="KL of each layer of latents, where there are layers.")
    ]
    label_kl_nats: Annotated[
        float | None,
        Field(
            description="KL(q(y|x) || p(y)), a part of `kl_nats`, where labels are averaged over."
        ),
    ]
    kl_method: Literal["analytic", "monte_carlo"]
    standard_error_nats: float | None
    num_samples: int


class ElboAnswer(Drawn):
    """The ELBO of each image."""

    preprocessing: Preprocessing
    results: list[ElboResult]


class LogLikelihoodResult(Score):
    """The estimate of log p(x) of one image."""

    estimator: Literal["iwae", "prior", "exact"]
    estimate_nats: float | None
    standard_error_nats: float | None
    confidence_interval_nats: Annotated[
        list[float | None], Field(min_length=2, max_length=2, description="95 %.")
    ]
    interval_covers: Literal["expected_bound", "log_px"]
    effective_sample_size: float | None
    pareto_k: Annotated[
        float | None,
        Field(description="Shape of the weights' tail; above 0.7 errors cannot be trusted."),
    ]
    num_samples: int
    elbo_nats: float | None
    gap_lower_bound_nats: Annotated[
        float | None, Field(description="estimate_nats - elbo_nats, of the same draws.")
    ]
    reliable: bool


class LogLikelihoodAnswer(Drawn):
    """The estimate of log p(x) of each image."""

    preprocessing: Preprocessing
    results: list[LogLikelihoodResult]


class ClassifyResult(Schema):
    """q(y|x) of one image."""

    label: Annotated[str, Field(description="The most probable one.")]
    probabilities: Annotated[Vector, Field(description="In the order of `labels`.")]


class ClassifyAnswer(Drawn):
    """q(y|x) of each image."""

    preprocessing: Preprocessing
    labels: Annotated[
        list[str], Field(description="Names of the labels, or indices of a mixture's components.")
    ]
    method: Annotated[
        Literal["classifier", "bayes", "components"],
        Field(
            description="The model's classifier; Bayes' rule over importance-sampled p(x|y); or "
            "the exact p(z|x) of a mixture."
        ),
    ]
    num_samples: Annotated[
        int | None, Field(description="For each label; only of the method `bayes`.")
    ] = None
    results: list[ClassifyResult]
