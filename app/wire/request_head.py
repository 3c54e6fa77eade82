"""The head of an HTTP request, read strictly from its bytes.

A parser that mends a faulty head may end the request elsewhere than the proxy before it did
(RFC 9112, sections 6.1 and 11.2). What is read here has one end and one meaning.
"""

import re
import urllib.parse
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from app.errors import HeadersTooLarge, MalformedRequest, TargetTooLong, UnsupportedVersion

MAX_HEAD_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_KEPT, MAX_KEPT_BYTES = 1024, 1024
"""Heads that are kept once they are read, and their size: clients repeat theirs."""
SINGLE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization")
"""Headers that are given once: of two, a proxy and a server may each read another."""

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
LOOSE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
LIBRARY = "Let an HTTP library write the request."

_HEAD = re.compile(
    rb"(%b) ([\x21-\x7e]++) HTTP/1\.([01])\r\n()(?:%b:%b\r\n)*+\r\n" % (TOKEN, TOKEN, VALUE)
)
"""A whole head; what fails it is explained by the patterns of its parts."""
_FIELDS = re.compile(rb"([^:]+):[ \t]*([^\r]*)\r\n")
"""The headers in a head that `_HEAD` matches."""
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9](?:\.[0-9])?)" % TOKEN)
_VERSION = re.compile(rb" HTTP/[0-9.]+$", re.IGNORECASE)
_HEADER = re.compile(rb"%b:%b" % (TOKEN, VALUE))
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(?=[/?#]|\Z)", re.IGNORECASE)
_HOST = re.compile(rb"[\w.~!$&'()*+,;=%:\[\]-]*")
_LENGTH = re.compile(rb"[0-9]{1,19}")
_HIDDEN = re.compile(rb"%(2f|5c|[01][0-9a-f]|7f)|%(?![0-9a-f]{2})", re.IGNORECASE)
_SLASH = ord("/")
_ALIASES = {name.replace(b"-", b"_"): name for name in SINGLE if b"-" in name}


class Head(NamedTuple):
    """The head of one request. Requests share it: it is not changed."""

    size: int
    """Bytes that it takes, its empty line included."""
    target: bytes
    """The path with its query."""
    scope: Mapping[str, Any]
    """What it says in the scope of an ASGI app."""
    values: Mapping[bytes, bytes]
    """Headers by their names in lower case; of two of a name, the last."""
    length: int
    """Bytes of the body, where it is not chunked."""
    chunked: bool
    keep_alive: bool
    expects_continue: bool
    """Whether the client waits for "100 Continue" before it sends the body."""


def read_head(data: bytes) -> Head | None:
    """Read a request's head, or refuse it as soon as what has arrived of it is wrong.

    Args:
        data: The bytes from the request line on; the head may be incomplete, or a body may follow.

    Returns:
        The head; None while it is incomplete.

    Raises:
        MalformedRequest: The head breaks HTTP/1.1, or has two meanings.
        TargetTooLong: The request line is over 8 KiB.
        HeadersTooLarge: The head is over 16 KiB, or has more than 100 headers.
        UnsupportedVersion: The request is not of HTTP/1.1 or HTTP/1.0.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end < 0:
        _check_beginning(data)
        return None
    size = end + 4
    head = data[:size]
    return _read_known(head) if size <= MAX_KEPT_BYTES else _read_whole(head)


def _read_whole(head: bytes) -> Head:
    """Read a head of which all bytes are there."""
    found = _HEAD.fullmatch(head)
    if found is None or found.start(4) > MAX_TARGET_BYTES:
        _check_beginning(head)
        raise next(_bad_line(line) for line in _lines(head) if not _HEADER.fullmatch(line))
    method, target, minor, _ = found.groups()
    if target[0] != _SLASH or b"#" in target or b"%" in target or method == b"CONNECT":
        _check_target(method, target)
    pairs = _FIELDS.findall(head, found.start(4), len(head) - 2)
    headers = [(name.lower(), value.rstrip(b" \t")) for name, value in pairs]
    return _interpret(len(head), method, target, minor == b"1", headers)


_read_known = lru_cache(maxsize=MAX_KEPT)(_read_whole)


def _interpret(
    size: int, method: bytes, target: bytes, modern: bool, headers: list[tuple[bytes, bytes]]
) -> Head:
    """The head that these parts make; `modern` says whether it is of HTTP/1.1."""
    values = dict(headers)
    if len(headers) > MAX_HEADERS:
        raise _too_large(f"{len(headers)} headers, more than {MAX_HEADERS}", MAX_HEADERS)
    if len(values) < len(headers):
        _check_repeated(headers)
        values[b"connection"] = b",".join(v for name, v in headers if name == b"connection")
    if not _ALIASES.keys().isdisjoint(values):
        raise _alias(values)
    _check_host(values.get(b"host"), modern)
    if target[0] != _SLASH:
        target = _move_authority(target, headers)
    chunked = _check_framing(values, modern)
    if b"upgrade" in values:
        raise _upgrade(values[b"upgrade"])
    connection = values.get(b"connection", b"").lower()
    length = int(values.get(b"content-length", 0))
    return Head(
        size=size,
        target=target,
        scope=_scope(method, target, modern, headers),
        values=dict(headers),
        length=length,
        chunked=chunked,
        keep_alive=modern and (b"close" not in connection or not _asks_to_close(connection)),
        expects_continue=modern
        and (chunked or length > 0)
        and values.get(b"expect", b"").lower() == b"100-continue",
    )


def _scope(
    method: bytes, target: bytes, modern: bool, headers: list[tuple[bytes, bytes]]
) -> dict[str, Any]:
    path, _, query = target.partition(b"?")
    text = path.decode()
    return {
        "type": "http",
        "http_version": "1.1" if modern else "1.0",
        "method": method.decode(),
        "path": urllib.parse.unquote(text) if "%" in text else text,
        "raw_path": path,
        "query_string": query,
        "headers": headers,
    }


def two_lengths() -> MalformedRequest:
    """The fault of a body that ends in two places."""
    fault = "Content-Length and Transfer-Encoding are both given (RFC 9112, section 6.1)."
    return _ambiguous(fault, b"transfer-encoding", "Send one.")


def path_of(data: bytes) -> str:
    """The path in a request line, as far as it can be read."""
    found = re.match(rb"%b ([\x21-\x7e]{1,200})" % TOKEN, data)
    return found[1].partition(b"?")[0].decode() if found else ""


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """(authority, path with query) of an absolute-form target, as proxies are sent it."""
    found = _ABSOLUTE.match(target)
    if found is None:
        return None
    path = target[found.end() :]
    return found[1], path if path.startswith(b"/") else b"/" + path


def _move_authority(target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The path of a URL; its host becomes the header (RFC 9112, section 3.2.2)."""
    host, path = split_absolute(target) or (b"", target)
    _check_host(host, True)
    headers[:] = [(b"host", host), *(pair for pair in headers if pair[0] != b"host")]
    return path


def _asks_to_close(connection: bytes) -> bool:
    return b"close" in [option.strip(b" \t") for option in connection.split(b",")]


def _lines(head: bytes) -> list[bytes]:
    """The header lines of a whole head."""
    return head.split(b"\r\n")[1:-2]


def _check_beginning(data: bytes) -> None:
    """Refuse what is wrong in the part of a head that has arrived, header lines apart."""
    line, ended, _ = data[: MAX_HEAD_BYTES + 4].partition(b"\n")
    if len(line) > MAX_TARGET_BYTES:
        raise TargetTooLong(
            f"The request line has more than {MAX_TARGET_BYTES // 1024} KiB, the limit. Send the "
            "parameters in the body.",
            parameter="path",
            limit=MAX_TARGET_BYTES,
        )
    if not ended:
        return
    if LOOSE_LINE_END.search(data, 0, MAX_HEAD_BYTES + 4):
        raise MalformedRequest(
            f"A line of the request's head ends in CR or LF alone, not in CR LF. {LIBRARY}"
        )
    _check_request_line(line.removesuffix(b"\r"))
    if len(data) > MAX_HEAD_BYTES:
        raise _too_large(f"more than {MAX_HEAD_BYTES // 1024} KiB", MAX_HEAD_BYTES)


def _check_request_line(line: bytes) -> None:
    """Refuse a request line but METHOD SP TARGET SP HTTP/1.1, its target a path or an http URL."""
    found = _REQUEST_LINE.fullmatch(line)
    shown = line.partition(b"?")[0][:60].decode("latin-1")  # a query may hold a secret
    if found is None:
        if b" " in line and not _VERSION.search(line):
            fault = f"The request line {shown!r} names no HTTP version, as of HTTP/0.9."
        else:
            fault = f"The request line {shown!r} is not METHOD SP TARGET SP HTTP/1.1, in ASCII."
        raise MalformedRequest(f"{fault} {LIBRARY}", received=shown)
    method, target, version = found.groups()
    if version not in (b"1.0", b"1.1"):
        raise UnsupportedVersion(
            f"HTTP/{version.decode()} is not spoken here. Send the request as HTTP/1.1: curl "
            "--http1.1.",
            received=f"HTTP/{version.decode()}",
            allowed=("HTTP/1.1", "HTTP/1.0"),
            suggestion="HTTP/1.1",
        )
    _check_target(method, target)


def _check_target(method: bytes, target: bytes) -> None:
    path = target.partition(b"?")[0]
    shown = path[:60].decode()
    if method == b"CONNECT":
        fault, fix = "CONNECT asks for a proxy, which this server is not.", "Send GET or POST."
    elif not target.startswith(b"/") and split_absolute(target) is None:
        fault, fix = f"The target {shown!r} is not a path.", "Begin it with a slash: /v1/models."
    elif b"#" in target:
        fault, fix = "The target has a fragment.", "Leave out # and what follows, or send %23."
    elif hidden := _HIDDEN.search(path):
        fault = f"The path holds {path[hidden.start() : hidden.start() + 3].decode()!r}."
        fix = "Names of models and operations need no percent-encoding."
    else:
        return
    raise MalformedRequest(f"{fault} {fix}", parameter="path", received=shown)


def _check_repeated(headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers]
    for name in SINGLE:
        if names.count(name) > 1:
            raise _ambiguous(f"{_title(name)} is given twice.", name, "Send it once.")


def _alias(values: dict[bytes, bytes]) -> MalformedRequest:
    alias = next(alias for alias in _ALIASES if alias in values)
    read_as = _ALIASES[alias].decode()
    fault = f"The header {alias.decode()} is read as {read_as} by some."
    return _ambiguous(fault, alias, "Rename it.")


def _check_host(host: bytes | None, modern: bool) -> None:
    if host is None:
        if modern:
            fix = "Send Host: and the server's name."
            raise _ambiguous("The request has no Host.", b"host", fix)
    elif not _HOST.fullmatch(host):
        fault = f"Host is {_shown(host)!r}."
        raise _ambiguous(fault, b"host", "Send a name and a port alone.")


def _check_framing(values: dict[bytes, bytes], modern: bool) -> bool:
    """Whether the body is chunked; it ends by Content-Length or by Transfer-Encoding: chunked."""
    length, coding = values.get(b"content-length"), values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise two_lengths()
        if coding.lower() != b"chunked":
            fault = f"Transfer-Encoding is {_shown(coding)!r}, not chunked."
            raise _ambiguous(fault, b"transfer-encoding", "Send Content-Length instead.")
        if not modern:
            fault = "Transfer-Encoding is given, which HTTP/1.0 does not have."
            raise _ambiguous(fault, b"transfer-encoding", "Send Content-Length instead.")
    elif length is not None and not _LENGTH.fullmatch(length):
        fault = f"Content-Length is {_shown(length)!r}, not a number of bytes."
        raise _ambiguous(fault, b"content-length", "Send digits alone.")
    return coding is not None


def _upgrade(wanted: bytes) -> MalformedRequest:
    return MalformedRequest(
        f"Upgrade: {_shown(wanted)} is not served. Send the request without Upgrade: "
        "curl --http1.1.",
        parameter="Upgrade",
        received=_shown(wanted),
        suggestion="HTTP/1.1",
    )


def _shown(value: bytes) -> str:
    return value[:60].decode("latin-1")


def _bad_line(line: bytes) -> MalformedRequest:
    name = line.partition(b":")[0][:40].decode("latin-1")  # a value may hold a secret
    if line[:1] in (b" ", b"\t"):
        name, fault = "", "A header goes on in a second line (obs-fold)."
    elif name != name.rstrip():
        fault = f"A space stands before the colon of {name.rstrip()!r}."
    else:
        fault = f"The header {name!r} is not NAME: VALUE without control characters."
    return MalformedRequest(f"{fault} {LIBRARY}", parameter=name.strip() or None)


def _ambiguous(fault: str, name: bytes, fix: str) -> MalformedRequest:
    return MalformedRequest(f"{fault} {fix}", parameter=_title(name))


def _title(name: bytes) -> str:
    return "-".join(word.capitalize() for word in name.decode().split("-"))


def _too_large(found: str, limit: int) -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The request's head has {found}, the limit. Send fewer headers and cookies.", limit=limit
    )
