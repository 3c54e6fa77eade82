"""A client of vae-serve: pictures and arrays in, typed answers out. It needs no torch.

    from vae_client import VAEClient

    with VAEClient("http://127.0.0.1:8000") as client:
        print(client.encode("digit.png").mean)

Names are imported as they are asked for: commands need one of them alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_client.clients import AsyncVAEClient as AsyncVAEClient
    from vae_client.clients import VAEClient as VAEClient
    from vae_client.errors import CallError as CallError
    from vae_client.errors import Refused as Refused
    from vae_client.errors import Unreachable as Unreachable
    from vae_client.errors import UnreadableItems as UnreadableItems
    from vae_client.held_out import Examples as Examples
    from vae_client.held_out import LatentMap as LatentMap
    from vae_client.merging import merge as merge
    from vae_client.results import AnomalyScores as AnomalyScores
    from vae_client.results import Answer as Answer
    from vae_client.results import AnswerWarning as AnswerWarning
    from vae_client.results import Classifications as Classifications
    from vae_client.results import Decodings as Decodings
    from vae_client.results import ElboScores as ElboScores
    from vae_client.results import Encodings as Encodings
    from vae_client.results import Images as Images
    from vae_client.results import Interpolation as Interpolation
    from vae_client.results import LatentGroup as LatentGroup
    from vae_client.results import LogLikelihoodProgress as LogLikelihoodProgress
    from vae_client.results import LogLikelihoodScores as LogLikelihoodScores
    from vae_client.results import Model as Model
    from vae_client.results import ModelVersion as ModelVersion
    from vae_client.results import Reconstructions as Reconstructions
    from vae_client.results import Samples as Samples
    from vae_client.results import Scores as Scores

_PLACES = {
    "clients": ("AsyncVAEClient", "VAEClient"),
    "errors": ("CallError", "Refused", "Unreachable", "UnreadableItems"),
    "held_out": ("Examples", "LatentMap"),
    "merging": ("merge",),
    "results": (
        *("AnomalyScores", "Answer", "AnswerWarning", "Classifications", "Decodings"),
        *("ElboScores", "Encodings", "Images", "Interpolation", "LatentGroup"),
        *("LogLikelihoodProgress", "LogLikelihoodScores", "Model", "ModelVersion"),
        *("Reconstructions", "Samples", "Scores"),
    ),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
