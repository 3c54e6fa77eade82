"""Settings of the service: flag over environment (`VAE_*`) over TOML file (`VAE_SETTINGS_FILE`).

Nothing is read at import.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from models.config import MAX_PIXELS
from models.errors import ConfigError, closest

SETTINGS_FILE_VARIABLE = "VAE_SETTINGS_FILE"
PRETRAINED = Path(__file__).resolve().parent.parent / "models" / "pretrained"

OTHER_VARIABLES = (
    SETTINGS_FILE_VARIABLE,
    "VAE_URL",
    "VAE_API_KEY",
    "VAE_DATA_DIR",
    "VAE_CACHE_DIR",
    "VAE_CACHE_GB",
    "VAE_CONTROL_DIR",
)
"""Variables of this project that are no settings of the service."""
SERVICE_LINK = re.compile(r"VAE_(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)")
"""Variables that Kubernetes sets in every pod beside a service named `vae`."""
YEAR_SECONDS = 365 * 86400


def _split(value: Any) -> Any:
    """A list as text: by commas, or in JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith(("[", '"')):
        found = json.loads(value)
        return [found] if isinstance(found, str) else found
    return [part.strip() for part in value.split(",") if part.strip()]


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _origin(value: Any) -> Any:
    """An origin as browsers send it, or a prefix of paths: without a slash at its end."""
    return value.rstrip("/") if isinstance(value, str) else value


KeyDigest = Annotated[str, BeforeValidator(_lower), Field(pattern=r"^[0-9a-f]{64}$")]
Origin = Annotated[str, BeforeValidator(_origin)]


class _Environment(EnvSettingsSource):
    """The environment without blank values: an empty variable is one that is not set."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        given = super()._load_env_vars()
        return {name: value.strip() for name, value in given.items() if value and value.strip()}


class Settings(BaseSettings):
    """Every setting of the service; docs/deployment.md says the same in a table."""

    model_config = SettingsConfigDict(
        env_prefix="VAE_",
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        defer_build=True,
    )

    model_repository: Annotated[
        Path, Field(description="Folder of the bundles, as <model>/<version>/.")
    ] = PRETRAINED
    default_model: Annotated[
        str | None,
        Field(
            description="Model of paths that name none; absent: `mnist`, or else the only one, or "
            "else such a path is a 409."
        ),
    ] = None
    model_control: Annotated[
        Literal["none", "poll", "explicit"],
        BeforeValidator(_lower),
        Field(
            description="Changes of the models while the service runs: `none`; `poll`, as the "
            "repository changes; `explicit`, by requests with an admin key."
        ),
    ] = "none"
    model_poll_seconds: Annotated[
        PositiveFloat,
        Field(
            le=YEAR_SECONDS,
            description="Seconds between two looks at the repository; a change is loaded once it "
            "is the same at two of them.",
        ),
    ] = 5.0
    load_models: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(description="Models to load, by name; none: all of the repository."),
    ] = ()
    device: Annotated[
        str, Field(description="torch device of the models, such as cpu or cuda:0.")
    ] = "cpu"

    compute_threads: Annotated[
        Annotated[PositiveInt, Field(le=4096)] | None,
        Field(
            description="Threads of one torch operator; absent: the CPUs that this process may "
            "use, shared by the workers."
        ),
    ] = None

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ] = 8000
    root_path: Annotated[
        str,
        BeforeValidator(_origin),
        Field(
            pattern=r"^(/[A-Za-z0-9._~-]+)*$",
            description="Path prefix under which a proxy serves the service, such as /vae; "
            "requests come with it or without.",
        ),
    ] = ""
    workers: Annotated[
        PositiveInt,
        Field(description="Worker processes behind one port; on a CPU, they share the models."),
    ] = 1
    drain_seconds: Annotated[
        NonNegativeFloat,
        Field(
            le=YEAR_SECONDS,
            description="Seconds between /readyz turning 503 and the end of listening, on "
            "shutdown.",
        ),
    ] = 1.0

    request_timeout_seconds: Annotated[
        PositiveFloat,
        Field(
            le=YEAR_SECONDS,
            description="Longest deadline of one request, in seconds; a 504 after it. The header "
            "X-Request-Timeout-Seconds asks for a shorter one.",
        ),
    ] = 120.0
    client_timeout_seconds: Annotated[
        PositiveFloat,
        Field(
            description="Seconds to wait for a client: for a request's whole head, for the next "
            "piece of its body (a 408 after it), for the client to read on."
        ),
    ] = 10.0
    min_body_bytes_per_second: Annotated[
        NonNegativeFloat,
        Field(
            description="Least rate of a request's body, in bytes a second on average, once it has "
            "lasted VAE_CLIENT_TIMEOUT_SECONDS; a 408 below it. 0 accepts any."
        ),
    ] = 240.0
    max_connections: Annotated[
        PositiveInt,
        Field(
            description="Largest number of open connections of one worker, within the limit of "
            "open files; a 503 beyond it."
        ),
    ] = 4096
    max_buffered_bytes: Annotated[
        PositiveInt,
        Field(
            description="Largest number of bytes that the bodies of all requests of one worker "
            "may have together; a 503 beyond it."
        ),
    ] = 512 * 2**20
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
    max_ais_steps: Annotated[
        PositiveInt, Field(description="Largest ais_steps of one request.")
    ] = 1_000
    max_ais_chains: Annotated[
        PositiveInt, Field(description="Largest ais_chains of one request.")
    ] = 64
    max_request_cost: Annotated[
        PositiveFloat,
        Field(description="Largest cost of one request, in units (items x samples x MMAC)."),
    ] = 1_000_000.0
    max_wait_seconds: Annotated[
        PositiveFloat,
        Field(
            le=YEAR_SECONDS,
            description="Longest wait that may be expected of a request before its compute begins, "
            "in seconds; a 503 beyond it.",
        ),
    ] = 5.0
    max_queue_requests: Annotated[
        PositiveInt,
        Field(description="Largest number of requests waiting or computing; a 503 beyond it."),
    ] = 512

    drift_window: Annotated[
        int,
        Field(
            ge=50,
            le=1_000_000,
            description="Window of drift: pictures of `anomaly` whose p-values are tested "
            "together.",
        ),
    ] = 500

    api_keys_sha256: Annotated[
        tuple[KeyDigest, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(description="API keys, as `vae hash-key` prints them; none: /v1 is open."),
    ] = ()
    admin_keys_sha256: Annotated[
        tuple[KeyDigest, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(
            description="Admin keys, as `vae hash-key` prints them, which load and unload models "
            "and are API keys too; none: nobody may."
        ),
    ] = ()
    metrics_open: Annotated[
        bool,
        Field(description="Metrics without an API key: /metrics is open although keys are set."),
    ] = False
    cors_origins: Annotated[
        tuple[Origin, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(description="Origins of web pages that may call the service from a browser."),
    ] = ()
    docs: Annotated[
        bool,
        Field(description="Documentation pages: serve /docs, /openapi.json and the start page."),
    ] = True
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(_lower),
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
        environment = _Environment(settings_cls)
        file = settings_file()
        if file is None:
            return init_settings, environment
        return init_settings, environment, InitSettingsSource(settings_cls, _read_file(file))


def settings_file() -> str | None:
    """The settings file that the environment names, if any."""
    return os.environ.get(SETTINGS_FILE_VARIABLE, "").strip() or None


def _read_file(file: str) -> dict[str, Any]:
    if not Path(file).is_file():
        raise FileNotFoundError(
            f"{SETTINGS_FILE_VARIABLE}={file} is not a file. Correct the path, or unset the "
            "variable."
        )
    try:
        return tomllib.loads(Path(file).read_bytes().decode("utf-8-sig"))
    except ValueError as error:  # of TOML or of UTF-8
        raise ConfigError(
            f"{file} ({SETTINGS_FILE_VARIABLE}) is not TOML in UTF-8: {error}. Write lines such as "
            "port = 8000."
        ) from error


def load_settings(**flags: Any) -> Settings:
    """Read the settings; a flag that is None was not given."""
    return Settings(**{name: value for name, value in flags.items() if value is not None})


def misspelt_variables() -> dict[str, str]:
    """Variables of the environment that look like settings and are none, with the likely one."""
    known = [f"VAE_{name.upper()}" for name in Settings.model_fields]
    others = [
        name
        for name in sorted(os.environ)
        if name.startswith("VAE_")
        and name not in (*known, *OTHER_VARIABLES)
        and not SERVICE_LINK.fullmatch(name)
    ]
    meant = {name: closest(name[4:], [setting[4:] for setting in known]) for name in others}
    return {name: f"VAE_{setting}" for name, setting in meant.items() if setting is not None}
