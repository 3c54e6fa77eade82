"""Secrets in URLs: the value of a name that looks secret is replaced before a URL is logged."""

import logging
import re
from urllib.parse import unquote_plus

REDACTED = "[redacted]"
MAX_DECODINGS = 3
"""How often a name may be percent-encoded."""

_ANYWHERE = r"api[_\-. ]?key|token|passw(?:or)?d|passphrase|secret|credential"
_AT_THE_END = "key|sig|signature|auth|authorization|bearer|jwt|pwd|pass|session|sid"
_SECRET = re.compile(
    rf"(?<![\w.\-])(?:[\w.\-\[]*(?:{_ANYWHERE})[\w.\-\[\]]*|(?:[\w.\-]*[_\-.])?(?:{_AT_THE_END}))"
    r"\s*[=:]",
    re.IGNORECASE,
)


_MARKS = re.compile("[=:%]")
"""Without one of these nothing in a path is a value of a name."""


def is_secret(name: str) -> bool:
    """Whether a parameter of this name is likely to hold a secret."""
    return _SECRET.match(f"{name}=") is not None


def redact_query(query: str) -> str:
    """A query string without its secrets; names are compared decoded and without case."""
    return "&".join(_redact(part) or part for part in query.split("&")) if query else query


def redact_path(path: str) -> str:
    """A path up to the first secret in it: a secret may itself hold a slash."""
    if not _MARKS.search(path):
        return path
    segments = path.split("/")
    for i, segment in enumerate(segments):
        if (redacted := _redact(segment)) is not None:
            return "/".join([*segments[:i], redacted])
    return path


def redact_url(url: str) -> str:
    """A path and its query without their secrets."""
    path, mark, query = url.partition("?")
    return f"{redact_path(path)}{mark}{redact_query(query)}"


def _redact(part: str) -> str | None:
    """`name=value` without the value where the name looks secret; else None."""
    decoded = part
    for _ in range(MAX_DECODINGS):
        decoded = unquote_plus(decoded)
    if not _SECRET.search(decoded):
        return None
    name, equals, _ = part.partition("=")
    return f"{name}={REDACTED}" if equals else REDACTED


class RedactSecrets(logging.Filter):
    """Redacts the URLs of uvicorn's own access log, which is off under `vae serve`."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the arguments that are text."""
        if isinstance(record.args, tuple):
            given = record.args
            record.args = tuple(redact_url(v) if isinstance(v, str) else v for v in given)
        return True


REDACT_SECRETS = RedactSecrets()
