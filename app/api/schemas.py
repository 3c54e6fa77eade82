"""JSON bodies of requests, and the JSON answers of models, probes and problems.

The answers of operations are in app/operations/answers.py.
"""

from typing import Annotated, Any, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.operations.answers import JSONImage, LatentGroup, Latents, Schema
from app.operations.table import Operation


class ItemFault(Schema):
    """One item of a request that is at fault."""

    index: int
    reason: str


class Problem(BaseModel):
    """RFC 9457 `application/problem+json`; the members from `parameter` on are there where they
    exist."""

    type: Annotated[str, Field(description="A stable URI reference; docs/api.md lists them.")]
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    items: Annotated[
        list[ItemFault] | None, Field(description="Which items are at fault, where some are.")
    ] = None
    parameter: Annotated[
        str | None,
        Field(description="Parameter, JSON member, header or part of the path that is at fault."),
    ] = None
    received: Annotated[
        Any, Field(description="Value that was received, cut to 200 characters.")
    ] = None
    allowed: Annotated[
        list[Any] | None, Field(description="Values that are allowed, at most 64 of them.")
    ] = None
    limit: Annotated[float | None, Field(description="Bound that the value crosses.")] = None
    suggestion: Annotated[
        Any, Field(description="Value, path, header or command to send instead.")
    ] = None


class ModelSummary(Schema):
    """One version of a model in the repository."""

    name: str
    version: int | None
    default: Annotated[bool, Field(description="Whether paths without a model name use it.")]
    status: Literal["ready", "broken"]
    reason: Annotated[str | None, Field(description="Why a broken bundle is not served.")] = None
    digest: str | None = None


class ModelList(Schema):
    """All models of the repository."""

    models: list[ModelSummary]
    reason: Annotated[
        str | None,
        Field(description="Why no model is served, or that they are loading; else null."),
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


class ModelDescription(Schema):
    """Description of one version of a model."""

    name: str
    version: int
    versions: list[int]
    default: bool
    digest: Annotated[str, Field(description="sha256 of the bundle's manifest.")]
    image_shape: list[int]
    latent_shape: list[int]
    latent_groups: Annotated[
        list[LatentGroup], Field(description="Layers of latents, the layer next to x first.")
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
            description="Names of the data set's classes. The parameter `label` takes them if "
            "`labels` is among the capabilities."
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
    provenance: dict[str, Any]


class Status(Schema):
    """Status of the service."""

    status: Literal["ok", "loading", "draining", "no model"]
    reason: Annotated[str | None, Field(description="Why no model is served, where none is.")] = (
        None
    )


class ImagesBody(BaseModel):
    """Images, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[
        list[JSONImage],
        Field(min_length=1, description="Base64 or data URLs of pictures, or nested numbers."),
    ]


class LatentsBody(BaseModel):
    """Latents, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    latents: Annotated[Latents, Field(min_length=1, description="N x latent shape.")]


class PathEndsBody(BaseModel):
    """Two images or two latents, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[list[JSONImage] | None, Field(min_length=2, max_length=2)] = None
    latents: Annotated[Latents | None, Field(min_length=2, max_length=2)] = None


BODIES: dict[tuple[str, ...], type[BaseModel]] = {
    ("images",): ImagesBody,
    ("latents",): LatentsBody,
    ("images", "latents"): PathEndsBody,
}
"""Bodies by what an operation takes."""


def request_model(operation: Operation) -> type[BaseModel]:
    """The JSON body of an operation: its items, and its parameters, which null leaves out."""
    fields: dict[str, Any] = {
        name: (Optional[field.annotation], field)  # noqa: UP045
        for name, field in operation.parameters.model_fields.items()
    }
    name = f"{operation.answer.__name__.removesuffix('Answer')}Request"
    return create_model(name, __base__=BODIES[operation.takes], **fields)
