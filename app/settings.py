"""Settings of the service: flag over environment (`VAE_*`) over TOML file (`VAE_SETTINGS_FILE`).

Nothing is read at import.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from models.images.decoding import MAX_PIXELS

SETTINGS_FILE_VARIABLE = "VAE_SETTINGS_FILE"
PRETRAINED = Path(__file__).resolve().parent.parent / "models" / "pretrained"

KeyDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Settings(BaseSettings):
    """Every setting of the service; docs/api.md says the same in a table."""

    model_config = SettingsConfigDict(
        env_prefix="VAE_", frozen=True, extra="forbid", validate_default=True
    )

    model_repository: Annotated[
        Path, Field(description="Folder of the bundles, as <model>/<version>/.")
    ] = PRETRAINED
    default_model: Annotated[
        str | None,
        Field(description="Model of paths that name none; absent: `mnist`, or else the first."),
    ] = None
    device: Annotated[
        str, Field(description="torch device of the models, such as cpu or cuda:0.")
    ] = "cpu"

    compute_threads: Annotated[
        PositiveInt | None,
        Field(description="Threads of one torch operator; absent: all cores."),
    ] = None

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    workers: Annotated[
        PositiveInt, Field(description="Worker processes, each with all models in memory.")
    ] = 1
    drain_seconds: Annotated[
        NonNegativeFloat,
        Field(
            description="Seconds between /readyz turning 503 and the end of listening, on shutdown."
        ),
    ] = 1.0

    request_timeout_seconds: Annotated[
        PositiveFloat, Field(description="Deadline of one request, in seconds; a 504 after it.")
    ] = 120.0
    client_timeout_seconds: Annotated[
        PositiveFloat,
        Field(
            description="Seconds to wait for a client: for a request's whole head, for the next "
            "piece of its body (a 408 after it), for the client to read on."
        ),
    ] = 20.0
    max_body_bytes: Annotated[PositiveInt, Field(description="Largest request body, in bytes.")] = (
        32 * 2**20
    )
    max_items: Annotated[
        PositiveInt,
        Field(description="Largest number of images, latents, samples or steps in one request."),
    ] = 1024
    max_pixels: Annotated[
        int,
        Field(
            ge=1, le=MAX_PIXELS, description="Largest picture, in pixels (width x height) as sent."
        ),
    ] = 4096 * 3072
    max_answer_numbers: Annotated[
        PositiveInt, Field(description="Largest answer, in numbers (pixels and latents).")
    ] = 8_000_000
    max_num_samples: Annotated[
        PositiveInt, Field(description="Largest num_samples of one request.")
    ] = 10_000
    max_request_cost: Annotated[
        PositiveFloat,
        Field(description="Largest cost of one request, in units (items x samples x MMAC)."),
    ] = 1_000_000.0
    max_queue_cost: Annotated[
        PositiveFloat,
        Field(description="Largest cost of all admitted requests, in units; a 503 beyond it."),
    ] = 4_000_000.0
    max_queue_requests: Annotated[
        PositiveInt,
        Field(description="Largest number of requests waiting or computing; a 503 beyond it."),
    ] = 512

    api_keys_sha256: Annotated[
        tuple[KeyDigest, ...],
        Field(description="API keys, as `vae hash-key` prints them; none: /v1 is open."),
    ] = ()
    metrics_open: Annotated[
        bool,
        Field(description="Metrics without an API key: /metrics is open although keys are set."),
    ] = False
    cors_origins: Annotated[
        tuple[str, ...],
        Field(description="Origins of web pages that may call the service from a browser."),
    ] = ()
    docs: Annotated[
        bool,
        Field(description="Documentation pages: serve /docs, /openapi.json and the start page."),
    ] = True
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="Log level: the least severe that is logged."),
    ] = "info"
    access_log: Annotated[bool, Field(description="Access log: one JSON line per request.")] = True

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flag over environment over file; no .env file is looked for."""
        file = os.environ.get(SETTINGS_FILE_VARIABLE)
        if file is None:
            return init_settings, env_settings
        if not Path(file).is_file():
            raise FileNotFoundError(
                f"{SETTINGS_FILE_VARIABLE}={file} is not a file. Correct the path, or unset the "
                "variable."
            )
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))


def load_settings(**flags: Any) -> Settings:
    """Read the settings; a flag that is None was not given."""
    return Settings(**{name: value for name, value in flags.items() if value is not None})
