"""The exceptions of this project, and the words of their messages.

    VAEError
      ConfigError(ValueError)        a config with an unknown name, or parts that do not go together
      InputError(ValueError)         the caller's arrays or pictures
        ShapeMismatch                an array of a wrong shape
        OutOfSupport                 a value outside the likelihood's support, or NaN
        CorruptImage                 bytes that cannot be decoded as a picture or an array
        UnsupportedMedia             a picture or array format that is not read
        PayloadTooLarge              bytes, pixels or items over a limit
      UnsupportedOperation           this model has no labels, no density, ...
      BundleError                    a bundle on disk cannot be used
        BundleNotFound               no bundle, model or version there
        BundleCorrupt                files that do not match the manifest, the config or each other
        BundleVersionUnsupported     a format version that is not read

A message is at most three short sentences: what is wrong with the caller's value, naming the field;
what is allowed; one fix to paste.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class VAEError(Exception):
    """The base class of all errors here.

    Attributes:
        details: What a program can read besides the message: those of `parameter`, `received`,
            `allowed`, `limit` and `suggestion` that were given.
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
    """The allowed name nearest to a misspelt one, or None."""
    by_folded = {name.casefold(): name for name in allowed}
    found = get_close_matches(received.casefold(), by_folded, n=1, cutoff=0.65)
    return by_folded[found[0]] if found else None


def printable(name: str) -> str:
    """A name with escapes for control characters and for what is no UTF-8, such as `a\\n`."""
    with suppress(UnicodeEncodeError):  # not from a file system
        name = os.fsencode(name).decode("utf-8", "surrogateescape")  # whatever the locale
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def describe_invalid(error: ValidationError) -> str:
    """The first thing that pydantic found wrong with a config, as a sentence that names the field.

    It says the nearest allowed value of a misspelt `kind`.
    """
    first = error.errors(include_url=False)[0]
    name, details = ".".join(map(str, first["loc"])), first.get("ctx", {})
    if isinstance(details.get("error"), ValueError):
        return str(details["error"])
    if first["type"] == "union_tag_invalid":
        received, allowed = details["tag"], details["expected_tags"].replace("'", "")
        best = closest(received, allowed.split(", "))
        hint = f" Did you mean {best!r}?" if best else ""
        return f"{name}.kind = {received!r} is not allowed.{hint} Allowed: {allowed}."
    if first["type"] == "extra_forbidden":
        return f"{name} is not a field of this config. Remove it, or check its spelling."
    return f"{name}: {first['msg']}.".removeprefix(": ")


class ConfigError(VAEError, ValueError):
    """A config has an unknown name, or parts that do not go together."""


class InputError(VAEError, ValueError):
    """The caller's arrays or pictures are not what the model takes.

    Attributes:
        items: (index, reason) of each item of a batch that is at fault; empty if all of it is.
    """

    def __init__(
        self, message: str, *, items: tuple[tuple[int, str], ...] = (), **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.items = items


class ShapeMismatch(InputError):
    """An array of a wrong shape; the message says both shapes."""


class OutOfSupport(InputError):
    """A value outside the likelihood's support, infinite or NaN: its probability is zero."""


class CorruptImage(InputError):
    """Bytes that cannot be decoded as a picture or an array."""


class UnsupportedMedia(InputError):
    """A picture or array format that is not read."""


class PayloadTooLarge(InputError):
    """More bytes, pixels or items than the limit; the message names the limit's setting."""


class UnsupportedOperation(VAEError):
    """This model cannot do what was asked: it has no labels, no density, no such estimator."""


class BundleError(VAEError):
    """A bundle on disk cannot be used."""


class BundleNotFound(BundleError):
    """There is no bundle at that path, or no such model or version in the repository."""


class BundleCorrupt(BundleError):
    """A bundle's files do not match its manifest, its config or each other."""


class BundleVersionUnsupported(BundleError):
    """A bundle of a format version that this code does not read."""
