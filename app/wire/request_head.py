"""The head of an HTTP request, and its chunk lines, checked strictly on their bytes.

A parser that mends a faulty head may end the request elsewhere than the proxy before it did
(RFC 9112, sections 6.1 and 11.2). What is checked here has one end and one meaning.
"""

import re
from collections import Counter

from app.errors import HeadersTooLarge, MalformedRequest, TargetTooLong, UnsupportedVersion

MAX_HEAD_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_CHUNK_LINE_BYTES = 4 * 1024
"""Largest line between two chunks, or trailers after the last."""
SINGLE = ("host", "content-length", "transfer-encoding", "content-type", "authorization")
"""Headers that are given once: of two, a proxy and a server may each read another."""

_END = re.compile(rb"\r\n\r\n")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9](?:\.[0-9])?)" % _TOKEN)
_VERSION = re.compile(rb" HTTP/[0-9.]+$", re.IGNORECASE)
_HEADER = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
_LOOSE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(?=[/?#]|\Z)", re.IGNORECASE)
_HOST = re.compile(r"[\w.~!$&'()*+,;=%:\[\]-]*", re.ASCII)
_HIDDEN = re.compile(rb"%(2f|5c|[01][0-9a-f]|7f)|%(?![0-9a-f]{2})", re.IGNORECASE)
_LIBRARY = "Let an HTTP library write the request."


def check_head(data: bytes) -> None:
    """Refuse a request as soon as what has arrived of its head is wrong.

    Args:
        data: The bytes from the request line on; the head may be incomplete, or a body may follow.

    Raises:
        MalformedRequest: The head breaks HTTP/1.1, or has two meanings.
        TargetTooLong: The request line is over 8 KiB.
        HeadersTooLarge: The head is over 16 KiB, or has more than 100 headers.
        UnsupportedVersion: The request is not of HTTP/1.1 or HTTP/1.0.
    """
    end = _END.search(data, 0, MAX_HEAD_BYTES + 4)
    head = data[: end.end() if end else MAX_HEAD_BYTES + 4]
    line, ended, _ = head.partition(b"\n")
    if len(line) > MAX_TARGET_BYTES:
        raise TargetTooLong(
            f"The request line has more than {MAX_TARGET_BYTES // 1024} KiB, the limit. Send the "
            "parameters in the body.",
            parameter="path",
            limit=MAX_TARGET_BYTES,
        )
    if not ended:
        return
    _check_line_ends(head)
    version = _check_request_line(line.removesuffix(b"\r"))
    if len(head) > MAX_HEAD_BYTES:
        raise _too_large(f"more than {MAX_HEAD_BYTES // 1024} KiB", MAX_HEAD_BYTES)
    if end:
        _check_headers(head.split(b"\r\n")[1:-2], version)


def check_chunk_line(line: bytes) -> None:
    """Refuse what stands between the data of two chunks, or after the last, and is no plain line.

    Raises:
        MalformedRequest: It is over 4 KiB, or has a line end that a proxy may not see.
    """
    if len(line) > MAX_CHUNK_LINE_BYTES:
        fault = f"has more than {MAX_CHUNK_LINE_BYTES // 1024} KiB, the limit"
    elif line == b"\n" or _LOOSE_LINE_END.search(line.removeprefix(b"\n")):  # of a CR LF apart
        fault = "has a CR or LF alone"
    else:
        return
    raise MalformedRequest(
        f"A chunk's size, extension or trailer {fault}. {_LIBRARY}", parameter="body"
    )


def two_lengths() -> MalformedRequest:
    """The fault of a body that ends in two places."""
    fault = "Content-Length and Transfer-Encoding are both given (RFC 9112, section 6.1)."
    return _ambiguous(fault, "transfer-encoding", "Send one.")


def path_of(data: bytes) -> str:
    """The path in a request line, as far as it can be read."""
    found = re.match(rb"%b ([\x21-\x7e]{1,200})" % _TOKEN, data)
    return found[1].partition(b"?")[0].decode() if found else ""


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """(authority, path with query) of an absolute-form target, as proxies are sent it."""
    found = _ABSOLUTE.match(target)
    if found is None:
        return None
    path = target[found.end() :]
    return found[1], path if path.startswith(b"/") else b"/" + path


def _check_line_ends(head: bytes) -> None:
    if _LOOSE_LINE_END.search(head):
        raise MalformedRequest(
            f"A line of the request's head ends in CR or LF alone, not in CR LF. {_LIBRARY}"
        )


def _check_request_line(line: bytes) -> bytes:
    """The HTTP version of a request line whose target is a path, or an http URL."""
    found = _REQUEST_LINE.fullmatch(line)
    shown = line.partition(b"?")[0][:60].decode("latin-1")  # a query may hold a secret
    if found is None:
        if b" " in line and not _VERSION.search(line):
            fault = f"The request line {shown!r} names no HTTP version, as of HTTP/0.9."
        else:
            fault = f"The request line {shown!r} is not METHOD SP TARGET SP HTTP/1.1, in ASCII."
        raise MalformedRequest(f"{fault} {_LIBRARY}", received=shown)
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
    return version


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


def _check_headers(lines: list[bytes], version: bytes) -> None:
    if len(lines) > MAX_HEADERS:
        raise _too_large(f"{len(lines)} headers, more than {MAX_HEADERS}", MAX_HEADERS)
    headers: dict[str, str] = {}
    names: Counter[str] = Counter()
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise _bad_line(line)
        name = found[1].decode().lower()
        names[name] += 1
        headers[name] = found[2].strip(b" \t").decode("latin-1")
    for name in SINGLE:
        if names[name] > 1:
            raise _ambiguous(f"{_title(name)} is given twice.", name, "Send it once.")
        if "-" in name and name.replace("-", "_") in names:
            alias = name.replace("-", "_")
            raise _ambiguous(f"The header {alias} is read as {name} by some.", alias, "Rename it.")
    _check_host(headers.get("host"), version)
    _check_framing(headers, version)
    if "upgrade" in headers:
        raise MalformedRequest(
            f"Upgrade: {headers['upgrade'][:60]} is not served. Send the request without Upgrade: "
            "curl --http1.1.",
            parameter="Upgrade",
            received=headers["upgrade"][:60],
            suggestion="HTTP/1.1",
        )


def _check_host(host: str | None, version: bytes) -> None:
    if host is None and version == b"1.1":
        raise _ambiguous("The request has no Host.", "host", "Send Host: and the server's name.")
    if host is not None and not _HOST.fullmatch(host):
        raise _ambiguous(f"Host is {host[:60]!r}.", "host", "Send a name and a port alone.")


def _check_framing(headers: dict[str, str], version: bytes) -> None:
    """One end of the body: by Content-Length, or by Transfer-Encoding: chunked."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise two_lengths()
        if coding.lower() != "chunked":
            fault = f"Transfer-Encoding is {coding[:60]!r}, not chunked."
            raise _ambiguous(fault, "transfer-encoding", "Send Content-Length instead.")
        if version == b"1.0":
            fault = "Transfer-Encoding is given, which HTTP/1.0 does not have."
            raise _ambiguous(fault, "transfer-encoding", "Send Content-Length instead.")
    elif length is not None and not re.fullmatch("[0-9]{1,19}", length):
        fault = f"Content-Length is {length[:60]!r}, not a number of bytes."
        raise _ambiguous(fault, "content-length", "Send digits alone.")


def _bad_line(line: bytes) -> MalformedRequest:
    name = line.partition(b":")[0][:40].decode("latin-1")  # a value may hold a secret
    if line[:1] in (b" ", b"\t"):
        name, fault = "", "A header goes on in a second line (obs-fold)."
    elif name != name.rstrip():
        fault = f"A space stands before the colon of {name.rstrip()!r}."
    else:
        fault = f"The header {name!r} is not NAME: VALUE without control characters."
    return MalformedRequest(f"{fault} {_LIBRARY}", parameter=name.strip() or None)


def _ambiguous(fault: str, name: str, fix: str) -> MalformedRequest:
    return MalformedRequest(f"{fault} {fix}", parameter=_title(name))


def _title(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


def _too_large(found: str, limit: int) -> HeadersTooLarge:
    return HeadersTooLarge(
        f"The request's head has {found}, the limit. Send fewer headers and cookies.", limit=limit
    )
