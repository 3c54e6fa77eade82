"""The pages of the models: `/v1/models` and what each one is."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import openapi as documents
from app.api.middleware import record_of
from app.api.pages import _json
from app.api.routes import ModelName, Version
from app.api.schemas import ModelDescription, ModelList, ModelSummary, OperationDescription
from app.compute.latents import latent_groups
from app.operations.answers import LatentGroup
from app.serving.registry import Registry
from app.serving.served_model import ServedModel


def model_router(registry: Registry) -> APIRouter:
    """`/v1/models` and what each model is."""
    router = APIRouter(tags=["models"])
    summaries = documents.json_response(ModelList, "The models.", {"models": []})
    described = documents.json_response(ModelDescription, "The model.", None)
    described["content"]["application/json"].pop("example")
    found: dict[int | str, dict[str, Any]] = {200: described, **documents.problems(401, 404, 503)}
    listed: dict[int | str, dict[str, Any]] = {200: summaries, **documents.problems(401)}

    @router.get("/v1/models", summary="All models, and why broken ones are.", responses=listed)
    async def models(request: Request) -> Response:
        record_of(request.scope).operation = "models"
        return _json(list_models(registry).model_dump(mode="json"))

    async def by_name(request: Request, model: ModelName) -> Response:
        record_of(request.scope).operation = "models"
        return _describe(request, registry, registry.find(model))

    async def by_version(request: Request, model: ModelName, version: Version) -> Response:
        record_of(request.scope).operation = "models"
        return _describe(request, registry, registry.find(model, version))

    router.add_api_route(
        "/v1/models/{model}", by_name, summary="The highest version.", responses=found
    )
    router.add_api_route(
        "/v1/models/{model}/versions/{version}",
        by_version,
        summary="One version.",
        responses=found | documents.problems(422),
    )
    return router


def list_models(registry: Registry) -> ModelList:
    """Every version of every model, those that are broken too."""
    ready = [
        ModelSummary(
            name=name,
            version=version,
            default=name == registry.default_name and version == max(versions),
            status="ready",
            digest=served.bundle.digest,
        )
        for name, versions in sorted(registry.models.items())
        for version, served in sorted(versions.items())
    ]
    broken = [
        ModelSummary(
            name=b.name, version=b.version, default=False, status="broken", reason=b.reason
        )
        for b in registry.broken
    ]
    return ModelList(models=[*ready, *broken])


def _describe(request: Request, registry: Registry, served: ServedModel) -> Response:
    record_of(request.scope).model = served.name
    return _json(describe_model(registry, served).model_dump(mode="json"))


def describe_model(registry: Registry, served: ServedModel) -> ModelDescription:
    """What a model is, can do, and scored on held-out data."""
    config = served.bundle.config
    base = f"/v1/models/{served.name}/versions/{served.version}"
    evaluation = served.bundle.evaluation.model_dump(mode="json")
    for reference in evaluation["references"]:
        reference["n"] = len(reference.pop("values_nats"))
    return ModelDescription(
        name=served.name,
        version=served.version,
        versions=sorted(registry.models[served.name]),
        default=registry.default_name == served.name,
        digest=served.bundle.digest,
        image_shape=list(config.vae.image_shape),
        latent_shape=list(config.vae.latent_shape),
        latent_groups=[LatentGroup(**group) for group in latent_groups(served.vae)],
        likelihood=config.vae.likelihood.model_dump(mode="json"),
        is_mass=served.vae.is_mass,
        prior=config.vae.prior.model_dump(mode="json"),
        posterior=config.vae.posterior.model_dump(mode="json"),
        image=config.image.model_dump(mode="json"),
        labels=list(served.labels or config.labels),
        label_probabilities=served.label_probabilities,
        capabilities=sorted(served.capabilities),
        lacks={need: reason for need, reason in sorted(served.lacks.items())},
        operations=[
            OperationDescription(
                name=operation.name,
                method=operation.method,
                path=f"{base}/{operation.name}",
                summary=operation.summary,
                takes=list(operation.takes),
                formats=list(operation.formats),
                unavailable_options=served.unavailable_options(operation),
                parameters=operation.parameters.model_json_schema(),
            )
            for operation in registry.offered_operations(served)
        ],
        evaluation=evaluation,
        provenance=config.provenance.model_dump(mode="json"),
    )
