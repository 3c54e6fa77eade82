"""The service on Ray Serve: replicas of the same app, on one machine or a cluster.

    serve run deploy.ray_serve:application max_replicas=4
    serve run deploy.ray_serve:application num_gpus=1 max_replicas=8

A replica loads the bundles once, before it takes a request. Settings are those of the environment
(VAE_...); on a cluster, Ray's runtime environment carries them.
"""

from importlib import import_module
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.main import create_app, make_registry
from app.serving.cpus import default_threads
from app.settings import load_settings


class Options(BaseModel):
    """What `serve run` takes as name=value."""

    model_config = ConfigDict(extra="forbid")

    num_cpus: Annotated[float, Field(gt=0, description="CPUs of a replica.")] = 1.0
    num_gpus: Annotated[
        float, Field(ge=0, description="GPUs of a replica; any sets VAE_DEVICE=cuda.")
    ] = 0.0
    min_replicas: Annotated[int, Field(ge=0, description="Replicas at least.")] = 1
    max_replicas: Annotated[int, Field(ge=1, description="Replicas at most.")] = 1
    target_ongoing_requests: Annotated[
        float, Field(gt=0, description="Requests under way in a replica that autoscaling aims at.")
    ] = 16.0
    max_ongoing_requests: Annotated[
        int,
        Field(
            ge=1,
            description="Requests that Ray gives one replica; it refuses by expected wait itself.",
        ),
    ] = 256
    drain_seconds: Annotated[
        float, Field(ge=0, description="Longest time that a replica finishes requests in.")
    ] = 120.0

    @model_validator(mode="after")
    def _check_replicas(self) -> "Options":
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas={self.min_replicas} is above max_replicas={self.max_replicas}. Use "
                f"max_replicas={self.min_replicas}."
            )
        return self


def application(options: Options) -> Any:
    """The service as an application of Ray Serve, an ASGI ingress."""
    serve: Any = import_module("ray.serve")
    device = "cuda" if options.num_gpus else None

    def make_loaded_app() -> Any:
        return loaded_app(device)

    replicas = {"min_replicas": options.min_replicas, "max_replicas": options.max_replicas}
    return serve.deployment(
        serve.ingress(make_loaded_app)(),
        name="vae-serve",
        ray_actor_options={"num_cpus": options.num_cpus, "num_gpus": options.num_gpus},
        autoscaling_config={
            **replicas,
            "target_ongoing_requests": options.target_ongoing_requests,
        },
        max_ongoing_requests=options.max_ongoing_requests,
        graceful_shutdown_timeout_s=options.drain_seconds,
    ).bind()


def loaded_app(device: str | None = None) -> Any:
    """The app, with its bundles loaded, a thread for each CPU that the replica may use.

    Raises:
        ConfigError: A setting is wrong.
        BundleNotFound: There are no bundles.
    """
    settings = load_settings(**({} if device is None else {"device": device}))
    registry = make_registry(settings, settings.compute_threads or default_threads(1))
    registry.load()
    return create_app(settings, registry)
