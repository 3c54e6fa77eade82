"""Answers that no operation gives: problems, models, status."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.operations.answers import LatentGroup, Schema


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
    """A model of the repository, by its version."""

    name: str
    version: int | None
    default: Annotated[bool, Field(description="Served where no model is named.")]
    status: Literal["ready", "broken"]
    reason: Annotated[str | None, Field(description="Why a broken one is not served.")] = None
    digest: str | None = None


class ModelList(Schema):
    """All models of the repository."""

    models: list[ModelSummary]


class OperationDescription(Schema):
    """How an operation of a model is called."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    summary: str
    takes: list[Literal["images", "latents"]]
    formats: Annotated[list[str], Field(description="Forms of the answer, the default first.")]
    unavailable_options: Annotated[
        list[str], Field(description="Parameter values that this model cannot serve.")
    ]
    parameters: Annotated[dict[str, Any], Field(description="JSON Schema of the parameters.")]


class ModelDescription(Schema):
    """One version of a model."""

    name: str
    version: int
    versions: list[int]
    default: bool
    digest: Annotated[str, Field(description="sha256 of the bundle's manifest.")]
    image_shape: list[int]
    latent_shape: list[int]
    latent_groups: Annotated[
        list[LatentGroup], Field(description="Layers of latents, the one next to x first.")
    ]
    likelihood: dict[str, Any]
    is_mass: Annotated[bool, Field(description="Whether p(x|z) is a mass; bits per dim need one.")]
    prior: dict[str, Any]
    posterior: dict[str, Any]
    image: Annotated[dict[str, Any], Field(description="How a picture becomes an observation.")]
    labels: Annotated[
        list[str],
        Field(
            description="Names of the data set's classes; `label` takes them where `labels` is "
            "among the capabilities."
        ),
    ]
    label_probabilities: Annotated[
        list[float], Field(description="p(y) of a model with labels, in their order.")
    ]
    capabilities: Annotated[list[str], Field(description="The needs that the model meets.")]
    lacks: Annotated[dict[str, str], Field(description="The other needs, each with the reason.")]
    operations: list[OperationDescription]
    evaluation: Annotated[dict[str, Any], Field(description="On the held-out test set.")]
    provenance: dict[str, Any]


class Status(Schema):
    """What a probe says."""

    status: Literal["ok", "loading", "draining", "no model"]
