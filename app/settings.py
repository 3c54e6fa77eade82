"""The settings: flag over environment (`VAE_*`) over file (`VAE_SETTINGS_FILE`, TOML).

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
        Path, Field(description="Folder of bundles, <model>/<version>/.")
    ] = PRETRAINED
    default_model: Annotated[
        str | None,
        Field(description="Served where none is named; else `mnist` if there, else the first."),
    ] = None
    device: Annotated[str, Field(description="torch device, such as cpu or cuda:0.")] = "cpu"

    compute_threads: Annotated[
        PositiveInt | None,
        Field(description="Threads of one operator; as torch chooses (all cores) if absent."),
    ] = None

    host: Annotated[str, Field(description="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen at.")] = 8000
    workers: Annotated[PositiveInt, Field(description="Processes, each with all models.")] = 1
    drain_seconds: Annotated[
        NonNegativeFloat,
        Field(description="How long /readyz says 503 before a stopping server refuses new work."),
    ] = 1.0

    request_timeout_seconds: Annotated[
        PositiveFloat, Field(description="Deadline of one request; 504 after it.")
    ] = 120.0
    max_body_bytes: Annotated[PositiveInt, Field(description="Of one request.")] = 32 * 2**20
    max_items: Annotated[
        PositiveInt, Field(description="Images, latents, samples or steps of one request.")
    ] = 1024
    max_pixels: Annotated[
        int, Field(ge=1, le=MAX_PIXELS, description="Width times height of one picture as sent.")
    ] = 4096 * 3072
    max_answer_numbers: Annotated[
        PositiveInt, Field(description="Numbers (pixels, latents) in one answer.")
    ] = 8_000_000
    max_num_samples: Annotated[
        PositiveInt, Field(description="Samples for each item of one request.")
    ] = 10_000
    max_request_cost: Annotated[
        PositiveFloat,
        Field(description="Cost units (items x samples x the model's MMAC) of one request."),
    ] = 1_000_000.0
    max_queue_cost: Annotated[
        PositiveFloat,
        Field(description="Cost units of all requests at once; beyond it 503 with Retry-After."),
    ] = 4_000_000.0
    max_queue_requests: Annotated[
        PositiveInt, Field(description="Requests waiting or computing at once; 503 beyond it.")
    ] = 512

    api_keys_sha256: Annotated[
        tuple[KeyDigest, ...],
        Field(description="Hex sha256 of each API key (`vae hash-key`); none leaves /v1 open."),
    ] = ()
    metrics_open: Annotated[
        bool, Field(description="Whether /metrics needs no API key where there are keys.")
    ] = False
    cors_origins: Annotated[
        tuple[str, ...], Field(description="Origins that browsers may call from; none by default.")
    ] = ()
    docs: Annotated[bool, Field(description="Serve /docs, /openapi.json and the start page.")] = (
        True
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level logged.")
    ] = "info"
    access_log: Annotated[bool, Field(description="One JSON line per request.")] = True

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
                f"{SETTINGS_FILE_VARIABLE} names a TOML file; there is none at {file!r}. "
                "Correct the path or unset the variable."
            )
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))


def load_settings(**flags: Any) -> Settings:
    """The settings of this process; flags that are None were not given."""
    return Settings(**{name: value for name, value in flags.items() if value is not None})
