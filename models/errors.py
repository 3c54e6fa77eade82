"""The exceptions of this project; knows no status codes and no command lines.

    VAEError
      ConfigError(ValueError)        a config names something unknown, or parts that do not fit
      InputError(ValueError)         the caller's arrays
        ShapeMismatch                says expected and received shape
        OutOfSupport                 x outside the likelihood's support; NaN
        CorruptImage                 bytes that claim to be a picture or an array and are not
        UnsupportedMedia             a format that is not read here
        PayloadTooLarge              bytes, pixels or items over a limit
      UnsupportedOperation           this model has no labels, no exact mass, ...
      BundleError
        BundleNotFound               nothing at that path
        BundleCorrupt                files that do not match the manifest, the config or each other
        BundleVersionUnsupported     written by a newer or an unknown format version

A message is at most three short sentences: what is wrong with the caller's value, naming the field;
what is allowed; one fix to paste.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class VAEError(Exception):
    """The root of the tree; one handler on it serves every subclass.

    Attributes:
        details: What a program may read besides the message, of the members `parameter`,
            `received`, `allowed`, `limit` and `suggestion` those that were given.
    """

    def __init__(
        self,
        message: str,
        *,
        parameter: str | None = None,
        received: Any = None,
        allowed: Iterable[Any] | None = None,
        limit: int | float | None = None,
        suggestion: Any = None,
    ) -> None:
        super().__init__(message)
        given = {
            "parameter": parameter,
            "received": received,
            "allowed": None if allowed is None else list(allowed),
            "limit": limit,
            "suggestion": suggestion,
        }
        self.details = {name: value for name, value in given.items() if value is not None}


def closest(received: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that a misspelt one most likely means, or None."""
    by_folded = {name.casefold(): name for name in allowed}
    found = get_close_matches(received.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


class ConfigError(VAEError, ValueError):
    """A config names something unknown, or names parts that do not fit together."""


class InputError(VAEError, ValueError):
    """The caller's arrays or pictures are not what the model takes.

    Attributes:
        items: Which items of a batch are at fault, and why: (index, reason) pairs. Empty when the
            fault is the whole input's.
    """

    def __init__(
        self, message: str, *, items: tuple[tuple[int, str], ...] = (), **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.items = items


class ShapeMismatch(InputError):
    """An array has another shape than the one it must have; the message says both."""


class OutOfSupport(InputError):
    """A value has probability zero by construction: outside the support, infinite or NaN."""


class CorruptImage(InputError):
    """Bytes that claim to be a picture or an array and cannot be read as one."""


class UnsupportedMedia(InputError):
    """A picture or array format that is not read here."""


class PayloadTooLarge(InputError):
    """More bytes, pixels or items than the limit; the message names the limit's setting."""


class UnsupportedOperation(VAEError):
    """This model cannot do what was asked: it has no labels, no exact mass, no such estimator."""


class BundleError(VAEError):
    """A bundle on disk cannot be used."""


class BundleNotFound(BundleError):
    """There is no bundle at that path, or no such model or version in the repository."""


class BundleCorrupt(BundleError):
    """A bundle's files do not match its manifest, its config or each other."""


class BundleVersionUnsupported(BundleError):
    """The bundle's format version is not one that this code reads."""
