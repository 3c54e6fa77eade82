"""JSON of the models' pages: the list of models, and the description of one."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.operations.answers import LatentGroup, Schema
from app.serving.snapshot import State


class ModelSummary(Schema):
    """One version of a model in the repository."""

    name: str
    version: int | None
    default: Annotated[bool, Field(description="Whether paths without a model name use it.")]
    status: State
    reason: Annotated[str | None, Field(description="Why a broken bundle is not served.")] = None
    digest: str | None = None


class ModelList(Schema):
    """All models of the repository."""

    models: list[ModelSummary]
    reason: Annotated[
        str | None,
        Field(description="Why no model is served, or that they are loading; else null."),
    ] = None
    fault: Annotated[
        str | None,
        Field(description="Why the repository cannot be read to its end; else null."),
    ] = None


class VersionState(Schema):
    """State of one version of a model."""

    version: int | None
    state: State
    reason: Annotated[str | None, Field(description="Why a broken bundle is not served.")] = None
    digest: str | None = None


class WorkerCount(Schema):
    """How many worker processes have carried out a command."""

    done: int
    total: int


class ModelControl(Schema):
    """What loading or unloading a model has led to."""

    model: str
    version: Annotated[int | None, Field(description="The version that was named, if one was.")]
    action: Literal["load", "unload"]
    default: Annotated[bool, Field(description="Whether paths without a model name use the model.")]
    states: Annotated[list[VersionState], Field(description="State of every version.")]
    workers: WorkerCount
    note: Annotated[
        str | None, Field(description="What else the operator must know, such as a lost default.")
    ] = None


class OperationDescription(Schema):
    """How to call an operation of a model."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    summary: str
    takes: list[Literal["images", "latents"]]
    formats: Annotated[list[str], Field(description="Formats of the answer, the default first.")]
    unavailable_options: Annotated[
        list[str], Field(description="Parameter values that this model refuses, as name=value.")
    ]
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema of the parameters.")]


class DriftState(Schema):
    """Whether the pictures that `anomaly` is asked about are like the good ones."""

    windows: Annotated[
        int, Field(description="Windows of VAE_DRIFT_WINDOW pictures that this worker has filled.")
    ]
    p_value: Annotated[
        float | None,
        Field(
            description="p-value of the last one, by a Kolmogorov-Smirnov test of its p-values; "
            "null before the first is full."
        ),
    ]
    drifts: Annotated[
        bool | None, Field(description="Whether that is below 0.001; null as `p_value` is.")
    ]


class Example(Schema):
    """A held-out picture."""

    index: Annotated[int, Field(description="Its place in the arrays of npy and npz, from 0.")]
    label: Annotated[
        str | None, Field(description="Name of its class; null where that is not known.")
    ]
    png: Annotated[str, Field(description="Base64 of a PNG of the model's own size.")]


class ExamplesAnswer(Schema):
    """Held-out pictures of a model's data, as the model takes them."""

    model: str
    version: int
    source: Annotated[
        str, Field(description="What they show, where they are from, and their licence.")
    ]
    examples: list[Example]


class MapAnswer(Schema):
    """Held-out pictures in a plane of the latent space: z = mean + a axis 1 + b axis 2."""

    model: str
    version: int
    source: Annotated[
        str, Field(description="Which pictures they are, where they are from, and their licence.")
    ]
    mean: Annotated[
        list[float],
        Field(description="Mean of their posterior means, the latent flattened in C order."),
    ]
    axes: Annotated[
        list[list[float]],
        Field(description="Two orthonormal directions, that of the largest variance first."),
    ]
    explained: Annotated[
        list[float],
        Field(description="Share of the variance of posterior means along each axis."),
    ]
    points: Annotated[
        list[list[float]],
        Field(description="Coordinates of each picture along the axes, from the mean."),
    ]
    labels: Annotated[
        list[int | None],
        Field(description="Index into `label_names` of each picture's class; null if not known."),
    ]
    label_names: list[str]


class ModelDescription(Schema):
    """Description of one version of a model."""

    name: str
    version: int
    versions: list[int]
    states: Annotated[
        list[VersionState],
        Field(description="State of every version in the repository, and of those that drain."),
    ]
    default: bool
    digest: Annotated[str, Field(description="sha256 of the bundle's manifest.")]
    image_shape: list[int]
    latent_shape: list[int]
    latent_groups: Annotated[
        list[LatentGroup], Field(description="Layers of latents, the layer next to x first.")
    ]
    latent_scaling: Annotated[
        dict[str, float] | None,
        Field(
            description="A diffusion model takes (z - shift_factor) * scaling_factor for a latent "
            "z; null where there is none."
        ),
    ]
    likelihood: dict[str, Any]
    is_mass: Annotated[
        bool, Field(description="Whether p(x|z) is a probability mass, as bits_per_dim needs.")
    ]
    prior: dict[str, Any]
    posterior: dict[str, Any]
    image: Annotated[
        dict[str, Any], Field(description="Image spec: how a picture becomes an observation.")
    ]
    labels: Annotated[
        list[str],
        Field(
            description="Names of the labels that the parameter `label` takes; empty for a model "
            "without labels, whatever classes its data set has."
        ),
    ]
    label_probabilities: Annotated[
        list[float], Field(description="Prior p(y) of each label, in the order of `labels`.")
    ]
    capabilities: Annotated[
        list[str], Field(description="Capabilities that operations may need and the model has.")
    ]
    lacks: Annotated[
        dict[str, str],
        Field(description="Capabilities that the model lacks, each with the reason."),
    ]
    operations: list[OperationDescription]
    evaluation: Annotated[dict[str, Any], Field(description="Evaluation on the held-out test set.")]
    references: Annotated[
        dict[str, list[float] | None],
        Field(
            description="Quantiles of the scores of held-out images that percentiles are taken "
            "among, nats: 101 of each, from 0 % (the lowest score) to 100 %. `elbo_nats`, null "
            "where the bundle stores none; `exact_nats`, and `iwae_K_nats` for each K, where it "
            "does."
        ),
    ]
    drift: Annotated[
        DriftState | None,
        Field(
            description="Whether the pictures that this worker is asked about are like the good "
            "ones; null for a model that lacks `good_pictures`."
        ),
    ]
    provenance: dict[str, Any]
