"""Clients of a service, one that waits and one for asyncio: they run the same steps."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from types import TracebackType
from typing import Any, Unpack

import httpx

from vae_client.errors import CallError
from vae_client.exchange import Exchange, Pause, Request, Steps, T
from vae_client.held_out import Examples, LatentMap
from vae_client.inputs import Items, Latents, image_sources, latent_source
from vae_client.operations import (
    ANOMALY,
    CLASSIFY,
    DECODE,
    ELBO,
    ENCODE,
    INTERPOLATE,
    LOG_LIKELIHOOD,
    RECONSTRUCT,
)
from vae_client.parameters import (
    AnomalyParameters,
    ClassifyParameters,
    DecodeParameters,
    ElboParameters,
    EncodeParameters,
    InterpolateParameters,
    LogLikelihoodParameters,
    ReconstructParameters,
    SampleParameters,
)
from vae_client.results import (
    AnomalyScores,
    Classifications,
    Decodings,
    ElboScores,
    Encodings,
    Interpolation,
    LogLikelihoodProgress,
    LogLikelihoodScores,
    Model,
    ModelVersion,
    Reconstructions,
    Samples,
)
from vae_client.sources import Source
from vae_client.streaming import run_stream, run_stream_async, stream

URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10.0
TIMEOUT_SECONDS = 150.0
"""More than a service takes by default, so that its own words arrive."""


class VAEClient:
    """A client that waits for each answer; close it, or use it as a context manager.

    Each method takes the parameters of its operation by name (docs/api.md), and `progress=True`.

    Args:
        url: Where the service listens, with the path prefix of its proxy if there is one.
        api_key: A key of the service, where it asks for one.
        model: The model to ask; by default the service's own default.
        version: Its version; by default the highest.
        batch_size: Most items of one request. What is too large for the service is sent in smaller
            parts; the answer is that of one request.
        tries: How often a request is sent while the service is busy (429, 503) or the connection
            breaks.
        retry_seconds: For how long, pauses included.
        timeout_seconds: How long to wait for the answer of one request; None is for ever.
        http: A client of httpx to send by, whose own URL, headers and timeouts hold.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        api_key: str | None = None,
        model: str | None = None,
        version: int | None = None,
        batch_size: int = 256,
        tries: int = 5,
        retry_seconds: float = 60.0,
        timeout_seconds: float | None = TIMEOUT_SECONDS,
        http: httpx.Client | None = None,
    ) -> None:
        self._http = http or httpx.Client(**_connection(url, api_key, timeout_seconds))
        at = str(self._http.base_url).rstrip("/")
        self._exchange = Exchange(at, model, version, batch_size, tries, retry_seconds)

    def encode(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[EncodeParameters]
    ) -> Encodings:
        """q(z|x) of each picture: mean, standard deviation, KL, and samples if asked for."""
        return self._run(
            self._exchange.run(ENCODE, image_sources(images), parameters, progress=progress)
        )

    def reconstruct(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[ReconstructParameters]
    ) -> Reconstructions:
        """p(x|z) at the posterior mean of each picture."""
        return self._run(
            self._exchange.run(RECONSTRUCT, image_sources(images), parameters, progress=progress)
        )

    def elbo(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[ElboParameters]
    ) -> ElboScores:
        """The ELBO of each picture in nats, a lower bound on log p(x), with its standard error."""
        return self._run(
            self._exchange.run(ELBO, image_sources(images), parameters, progress=progress)
        )

    def log_likelihood(
        self,
        images: Items,
        *,
        progress: bool = False,
        **parameters: Unpack[LogLikelihoodParameters],
    ) -> LogLikelihoodScores:
        """An estimate of log p(x) of each picture in nats, with its error and a lower bound."""
        return self._run(
            self._exchange.run(LOG_LIKELIHOOD, image_sources(images), parameters, progress=progress)
        )

    def stream_log_likelihood(
        self, images: Items, **parameters: Unpack[LogLikelihoodParameters]
    ) -> Generator[LogLikelihoodProgress | LogLikelihoodScores, None, None]:
        """Running estimates of log p(x) of each picture as they come, and the answer at the end.

        Stopping early stops the service's work.
        """
        return run_stream(self._http, stream(self._exchange, image_sources(images), parameters))

    def anomaly(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[AnomalyParameters]
    ) -> AnomalyScores:
        """Whether each picture is odd for the model, at a known rate of false alarms."""
        return self._run(
            self._exchange.run(ANOMALY, image_sources(images), parameters, progress=progress)
        )

    def classify(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[ClassifyParameters]
    ) -> Classifications:
        """q(y|x) of each picture, and its most probable label."""
        return self._run(
            self._exchange.run(CLASSIFY, image_sources(images), parameters, progress=progress)
        )

    def decode(
        self, latents: Latents, *, progress: bool = False, **parameters: Unpack[DecodeParameters]
    ) -> Decodings:
        """p(x|z) of each latent: its mean, a sample of it, or its logits."""
        return self._run(
            self._exchange.run(DECODE, [latent_source(latents)], parameters, progress=progress)
        )

    def sample(
        self, n: int = 16, *, progress: bool = False, **parameters: Unpack[SampleParameters]
    ) -> Samples:
        """`n` pictures at latents drawn from the prior."""
        return self._run(self._exchange.draw(n, parameters, progress=progress))

    def interpolate(
        self,
        images: Items | None = None,
        *,
        latents: Latents | None = None,
        progress: bool = False,
        **parameters: Unpack[InterpolateParameters],
    ) -> Interpolation:
        """Pictures on the path between two others, or between two latents, both ends included.

        Args:
            images: Two pictures.
            latents: Two latents, instead of pictures.
            progress: Whether to show progress.
            parameters: Of the operation.
        """
        return self._run(
            self._exchange.run(INTERPOLATE, _ends(images, latents), parameters, progress=progress)
        )

    def models(self) -> list[ModelVersion]:
        """Every version of every model of the service, those that are broken too."""
        return self._run(self._exchange.models())

    def model(self, name: str | None = None, version: int | None = None) -> Model:
        """A model: its shapes, labels, operations and numbers on held-out pictures."""
        return self._run(self._exchange.describe(name, version))

    def examples(self, name: str | None = None, version: int | None = None) -> Examples:
        """Held-out pictures of a model's data, with their labels.

        Raises:
            Refused: The model has none; the message says why.
        """
        return self._run(self._exchange.examples(name, version))

    def latent_map(self, name: str | None = None, version: int | None = None) -> LatentMap:
        """The plane in which the posterior means of a model's held-out pictures differ most.

        Raises:
            Refused: The model has none; the message says why.
        """
        return self._run(self._exchange.latent_map(name, version))

    def ready(self) -> bool:
        """Whether the service answers and is ready; False where nothing listens."""
        return self._run(self._exchange.ready())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "VAEClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        """Take the steps, one after another."""
        try:
            step = next(steps)
            while True:
                try:
                    response = self._take(step)
                except httpx.HTTPError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def _take(self, step: Request | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._http.request(step.method, step.path, **step.options)


class AsyncVAEClient:
    """As `VAEClient`, for asyncio: methods are awaited, a stream is iterated by `async for`.

    `http` is an `httpx.AsyncClient`.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        api_key: str | None = None,
        model: str | None = None,
        version: int | None = None,
        batch_size: int = 256,
        tries: int = 5,
        retry_seconds: float = 60.0,
        timeout_seconds: float | None = TIMEOUT_SECONDS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._http = http or httpx.AsyncClient(**_connection(url, api_key, timeout_seconds))
        at = str(self._http.base_url).rstrip("/")
        self._exchange = Exchange(at, model, version, batch_size, tries, retry_seconds)

    async def encode(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[EncodeParameters]
    ) -> Encodings:
        """As `VAEClient.encode`."""
        return await self._run(
            self._exchange.run(ENCODE, image_sources(images), parameters, progress=progress)
        )

    async def reconstruct(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[ReconstructParameters]
    ) -> Reconstructions:
        """As `VAEClient.reconstruct`."""
        return await self._run(
            self._exchange.run(RECONSTRUCT, image_sources(images), parameters, progress=progress)
        )

    async def elbo(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[ElboParameters]
    ) -> ElboScores:
        """As `VAEClient.elbo`."""
        return await self._run(
            self._exchange.run(ELBO, image_sources(images), parameters, progress=progress)
        )

    async def log_likelihood(
        self,
        images: Items,
        *,
        progress: bool = False,
        **parameters: Unpack[LogLikelihoodParameters],
    ) -> LogLikelihoodScores:
        """As `VAEClient.log_likelihood`."""
        return await self._run(
            self._exchange.run(LOG_LIKELIHOOD, image_sources(images), parameters, progress=progress)
        )

    def stream_log_likelihood(
        self, images: Items, **parameters: Unpack[LogLikelihoodParameters]
    ) -> AsyncGenerator[LogLikelihoodProgress | LogLikelihoodScores, None]:
        """As `VAEClient.stream_log_likelihood`, for `async for`."""
        return run_stream_async(
            self._http, stream(self._exchange, image_sources(images), parameters)
        )

    async def anomaly(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[AnomalyParameters]
    ) -> AnomalyScores:
        """As `VAEClient.anomaly`."""
        return await self._run(
            self._exchange.run(ANOMALY, image_sources(images), parameters, progress=progress)
        )

    async def classify(
        self, images: Items, *, progress: bool = False, **parameters: Unpack[ClassifyParameters]
    ) -> Classifications:
        """As `VAEClient.classify`."""
        return await self._run(
            self._exchange.run(CLASSIFY, image_sources(images), parameters, progress=progress)
        )

    async def decode(
        self, latents: Latents, *, progress: bool = False, **parameters: Unpack[DecodeParameters]
    ) -> Decodings:
        """As `VAEClient.decode`."""
        return await self._run(
            self._exchange.run(DECODE, [latent_source(latents)], parameters, progress=progress)
        )

    async def sample(
        self, n: int = 16, *, progress: bool = False, **parameters: Unpack[SampleParameters]
    ) -> Samples:
        """As `VAEClient.sample`."""
        return await self._run(self._exchange.draw(n, parameters, progress=progress))

    async def interpolate(
        self,
        images: Items | None = None,
        *,
        latents: Latents | None = None,
        progress: bool = False,
        **parameters: Unpack[InterpolateParameters],
    ) -> Interpolation:
        """As `VAEClient.interpolate`."""
        return await self._run(
            self._exchange.run(INTERPOLATE, _ends(images, latents), parameters, progress=progress)
        )

    async def models(self) -> list[ModelVersion]:
        """As `VAEClient.models`."""
        return await self._run(self._exchange.models())

    async def model(self, name: str | None = None, version: int | None = None) -> Model:
        """As `VAEClient.model`."""
        return await self._run(self._exchange.describe(name, version))

    async def examples(self, name: str | None = None, version: int | None = None) -> Examples:
        """As `VAEClient.examples`."""
        return await self._run(self._exchange.examples(name, version))

    async def latent_map(self, name: str | None = None, version: int | None = None) -> LatentMap:
        """As `VAEClient.latent_map`."""
        return await self._run(self._exchange.latent_map(name, version))

    async def ready(self) -> bool:
        """As `VAEClient.ready`."""
        return await self._run(self._exchange.ready())

    async def close(self) -> None:
        """As `VAEClient.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncVAEClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        """Take the steps, one after another."""
        try:
            step = next(steps)
            while True:
                try:
                    response = await self._take(step)
                except httpx.HTTPError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(response)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    async def _take(self, step: Request | Pause) -> httpx.Response | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        return await self._http.request(step.method, step.path, **step.options)


def _connection(url: str, api_key: str | None, timeout_seconds: float | None) -> dict[str, Any]:
    """Arguments of a client of httpx.

    Raises:
        CallError: The URL is no http:// or https:// one, or no header can carry the key.
    """
    if not url.startswith(("http://", "https://")):
        raise CallError(f"{url!r} is no URL. Give http://HOST:PORT.")
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise CallError("api_key holds characters that no header can carry. Copy it again.")
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
    }


def _ends(images: Items | None, latents: Latents | None) -> list[Source]:
    """The ends of a path, of one kind."""
    if images is not None and latents is None:
        return image_sources(images)
    if latents is not None and images is None:
        return [latent_source(latents)]
    raise CallError("interpolate takes two images, or latents=, one of both.")
