"""The pages of the models: `GET /v1/models` lists them, `GET /v1/models/{model}` describes one."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.model_descriptions import (
    DriftState,
    ModelDescription,
    ModelList,
    ModelSummary,
    OperationDescription,
    VersionState,
)
from app.api.record import record_of
from app.api.routing import MODEL_PATHS, find_model, json_response, make_route
from app.compute.latents import latent_groups
from app.operations.answers import LatentGroup
from app.operations.table import Operation
from app.serving.capabilities import offered_operations
from app.serving.drift import Drift
from app.serving.registry import Registry
from app.serving.served_model import ServedModel


def model_routes(registry: Registry) -> list[Route]:
    """The list of models, and the description of a model or of one version."""

    async def list_all(request: Request) -> Response:
        record_of(request.scope).operation = "models"
        return json_response(list_models(registry).model_dump(mode="json"))

    async def describe(request: Request) -> Response:
        record = record_of(request.scope)
        record.operation = "models"
        served = find_model(registry, request.path_params, request.url.path)
        record.model = served.name
        return json_response(describe_model(registry, served).model_dump(mode="json"))

    return [
        make_route("GET", "/v1/models", list_all),
        make_route("GET", MODEL_PATHS["model"], describe),
        make_route("GET", MODEL_PATHS["version"], describe),
    ]


def list_models(registry: Registry) -> ModelList:
    """Every version of every model, those that are served first."""
    default = registry.default_name
    highest = max(registry.models.get(default or "", ()), default=None)
    models = [
        ModelSummary(
            name=known.name,
            version=known.version,
            default=known.state == "ready" and (known.name, known.version) == (default, highest),
            status=known.state,
            reason=known.reason,
            digest=known.digest,
        )
        for known in registry.states()
    ]
    return ModelList(models=models, reason=registry.why_not_served, fault=registry.fault)


def version_states(registry: Registry, name: str) -> list[VersionState]:
    """State of every version of a model, by version."""
    found = [known for known in registry.states() if known.name == name]
    return [
        VersionState(version=s.version, state=s.state, reason=s.reason, digest=s.digest)
        for s in sorted(found, key=lambda known: known.version or 0)
    ]


def describe_model(registry: Registry, served: ServedModel) -> ModelDescription:
    """Describe a model: shapes, distributions, operations, held-out evaluation, provenance."""
    config = served.bundle.config
    scaling = config.latent_scaling
    evaluation = served.bundle.evaluation.model_dump(mode="json")
    for reference in evaluation["references"]:
        reference["n"] = len(reference.pop("values_nats"))
        del reference["positions"]
    return ModelDescription(
        name=served.name,
        version=served.version,
        versions=sorted(registry.models[served.name]),
        states=version_states(registry, served.name),
        default=registry.default_name == served.name,
        digest=served.bundle.digest,
        image_shape=list(config.vae.image_shape),
        latent_shape=list(config.vae.latent_shape),
        latent_groups=[LatentGroup(**group) for group in latent_groups(served.vae)],
        latent_scaling=None if scaling is None else scaling.model_dump(mode="json"),
        likelihood=config.vae.likelihood.model_dump(mode="json"),
        is_mass=served.vae.is_mass,
        prior=config.vae.prior.model_dump(mode="json"),
        posterior=config.vae.posterior.model_dump(mode="json"),
        image=config.image.model_dump(mode="json"),
        labels=list(served.labels),
        label_probabilities=served.label_probabilities,
        capabilities=sorted(served.capabilities),
        lacks={need: reason for need, reason in sorted(served.lacks.items())},
        operations=[
            describe_operation(served, operation) for operation in offered_operations(served.lacks)
        ],
        evaluation=evaluation,
        references=served.reference_quantiles,
        drift=None if "good_pictures" in served.lacks else describe_drift(served.drift),
        provenance=config.provenance.model_dump(mode="json"),
    )


def describe_drift(drift: Drift) -> DriftState:
    """Describe what the last full window of p-values says."""
    return DriftState(windows=drift.windows, p_value=drift.p_value, drifts=drift.drifts)


def describe_operation(served: ServedModel, operation: Operation) -> OperationDescription:
    """Describe how to call an operation of a model."""
    prefix = MODEL_PATHS["version"].format(model=served.name, version=served.version)
    return OperationDescription(
        name=operation.name,
        method=operation.method,
        path=f"{prefix}/{operation.name}",
        summary=operation.summary,
        takes=list(operation.takes),
        formats=[*operation.formats, *operation.streams],
        unavailable_options=served.unavailable_options(operation),
        parameters=operation.parameters.model_json_schema(),
    )
