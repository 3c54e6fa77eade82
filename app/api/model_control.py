"""Loading and unloading of models by requests with an admin key."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.keys import check_admin_key
from app.api.model_descriptions import ModelControl, WorkerCount
from app.api.models import version_states
from app.api.record import record_of
from app.api.redaction import redact_path
from app.api.routing import MODEL_PATHS, Endpoint, json_response, make_route, parse_version
from app.errors import ModelControlClosed, ModelNotReady
from app.serving.registry import LOADING, Registry
from app.serving.reload import Reloader
from app.serving.wishes import Action, Target
from app.settings import Settings

ACTIONS: tuple[Action, ...] = ("load", "unload")


def model_control_routes(registry: Registry, reloader: Reloader, settings: Settings) -> list[Route]:
    """`POST /v1/models/{model}/load` and `unload`, and the same for one version."""

    def endpoint(action: Action) -> Endpoint:
        async def control(request: Request) -> Response:
            record_of(request.scope).operation = action
            check_may_change(registry, settings, request.headers.get("authorization", ""))
            target = _target(request)
            was_default = registry.default_name == target.name
            seconds = settings.request_timeout_seconds
            done, total = await reloader.command(action, target, seconds=seconds)
            lost = was_default and target.name not in registry.models
            answer = ModelControl(
                model=target.name,
                version=target.version,
                action=action,
                default=registry.default_name == target.name,
                states=version_states(registry, target.name),
                workers=WorkerCount(done=done, total=total),
                note=_lost_default(target.name) if lost else None,
            )
            return json_response(answer.model_dump(mode="json"), 200 if done == total else 202)

        return control

    return [
        make_route("POST", f"{MODEL_PATHS[scope]}/{action}", endpoint(action))
        for scope in ("model", "version")
        for action in ACTIONS
    ]


def check_may_change(registry: Registry, settings: Settings, authorization: str) -> None:
    """Check that a caller may load and unload models now, by the header Authorization.

    Raises:
        ModelControlClosed, Unauthorized: Models are not changed by requests, or not by this caller.
        ModelNotReady: The models are still loading.
    """
    check_open(settings)
    check_admin_key(authorization, settings.admin_keys_sha256)
    if not registry.loaded:
        raise ModelNotReady(LOADING, headers={"Retry-After": "1"})


def check_open(settings: Settings) -> None:
    """Check that models are loaded and unloaded by requests here.

    Raises:
        ModelControlClosed: They are not; says how to open it.
    """
    start = "Start it with VAE_MODEL_CONTROL=explicit and VAE_ADMIN_KEYS_SHA256"
    if settings.model_control != "explicit":
        raise ModelControlClosed(
            "This server does not load and unload models by requests "
            f"(VAE_MODEL_CONTROL={settings.model_control}). {start}, which vae hash-key makes.",
            parameter="VAE_MODEL_CONTROL",
            received=settings.model_control,
            allowed=["explicit"],
            suggestion="VAE_MODEL_CONTROL=explicit",
        )
    if not settings.admin_keys_sha256:
        raise ModelControlClosed(
            f"This server has no admin key (VAE_ADMIN_KEYS_SHA256). {start}, which vae hash-key "
            "makes.",
            parameter="VAE_ADMIN_KEYS_SHA256",
        )


def _target(request: Request) -> Target:
    version = request.path_params.get("version")
    name = redact_path(request.path_params["model"])
    return Target(name, None if version is None else parse_version(version))


def _lost_default(name: str) -> str:
    return (
        f"{name} was the default model: paths that name no model are refused until it is loaded "
        f"again, or VAE_DEFAULT_MODEL names another. Load it: POST /v1/models/{name}/load."
    )
