"""Parts of a multipart/form-data body (RFC 7578): its files and its text fields, kept in memory."""

import binascii
import codecs
import quopri
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.errors import MalformedRequest
from app.wire.base64_text import decode_base64
from app.wire.media_types import MULTIPART_TYPE, bare_media_type
from models.errors import PayloadTooLarge

MAX_FORM_FIELDS = 64
MAX_FORM_FIELD_BYTES = 64 * 1024
_USUAL_DISPOSITION = 200
_FILENAME = re.compile(rb";\s*filename\*?\s*=", re.IGNORECASE)
"""A file by RFC 7578, or by RFC 5987's `filename*`, which some clients send alone."""
_FILES = {"images": "digit.png", "latents": "latents.npy"}


@dataclass
class Part:
    """One part: a file, or a text field."""

    name: str = ""
    is_file: bool = False
    data: bytearray = field(default_factory=bytearray)
    content_type: str | None = None
    text: str = ""
    """The data of a text field, decoded."""
    encoding: str = ""
    """Its Content-Transfer-Encoding."""
    is_left_empty: bool = False
    """Whether it is the field of a file that was not chosen, as browsers send it."""


class _Collector:
    """Collects parts from the callbacks of python_multipart's parser."""

    def __init__(self, charset: str, snippet: str) -> None:
        self.charset = charset
        self.snippet = snippet
        self.parts: list[Part] = []
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""

    def on_part_begin(self) -> None:
        self.parts.append(Part())
        self._headers = {}

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        name = self._header.lower()
        # As HTTP libraries do: the last disposition and the first of any other header count.
        if name == b"content-disposition" or name not in self._headers:
            self._headers[name] = self._value
        self._header, self._value = b"", b""

    def on_headers_finished(self) -> None:
        part = self.parts[-1]
        disposition = self._headers.get(b"content-disposition", b"")
        options = _options_of(disposition)
        if b"name" not in options:
            raise MalformedRequest(
                "A part of the form has no name in its Content-Disposition. Let a library write "
                f"the form: {self.snippet}.",
                parameter="body",
                suggestion=self.snippet,
            )
        part.name = self._decode(options[b"name"])
        part.content_type = self._text_of(b"content-type")
        part.encoding = (self._text_of(b"content-transfer-encoding") or "").strip().lower()
        media_type = bare_media_type(part.content_type)
        part.is_file = bool(_FILENAME.search(disposition)) or (
            part.name in _FILES and media_type != "" and not media_type.startswith("text/")
        )
        part.is_left_empty = options.get(b"filename") == b""
        if media_type.startswith("multipart/"):
            raise MalformedRequest(
                f"The field {part.name[:60]!r} is {media_type[:60]}, a form within a form. Send "
                f"each file in a part of its own: {self.snippet}.",
                parameter=part.name[:60],
                suggestion=self.snippet,
            )

    def _text_of(self, header: bytes) -> str | None:
        value = self._headers.get(header)
        return None if value is None else value.decode("latin-1")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self.parts[-1]
        if not part.is_file and len(part.data) + end - start > MAX_FORM_FIELD_BYTES:
            raise MalformedRequest(
                f"The form's text field {part.name[:60]!r} has more than "
                f"{MAX_FORM_FIELD_BYTES // 1024} KiB, the limit. Send a file with its filename: "
                f"{self.snippet}.",
                parameter=part.name[:60],
                limit=MAX_FORM_FIELD_BYTES,
                suggestion=self.snippet,
            )
        part.data += data[start:end]

    def on_part_end(self) -> None:
        part = self.parts[-1]
        _undo_transfer_encoding(part, self.snippet)
        if not part.is_file:
            part.text = self._decode(bytes(part.data))

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode(self.charset)
        except (UnicodeDecodeError, LookupError):
            return data.decode("latin-1")


_CALLBACKS = tuple(name for name in vars(_Collector) if name.startswith("on_"))


def _options_of(disposition: bytes) -> Mapping[bytes, bytes]:
    parse = _cached_options if len(disposition) <= _USUAL_DISPOSITION else _parsed_options
    return parse(disposition)


def _parsed_options(header: bytes) -> Mapping[bytes, bytes]:
    return parse_options_header(header)[1]


_cached_options = lru_cache(maxsize=256)(_parsed_options)  # the files of a client differ in little


def _undo_transfer_encoding(part: Part, snippet: str) -> None:
    """Decode a part's data by its Content-Transfer-Encoding, which RFC 7578 deprecates."""
    fault = f"is {part.encoding[:60]!r}, which is not read here"
    if part.encoding in ("", "binary", "8bit", "7bit"):
        return
    if part.encoding == "quoted-printable":
        part.data = bytearray(quopri.decodestring(bytes(part.data)))
        return
    if part.encoding == "base64":
        try:
            part.data = bytearray(decode_base64(part.data.decode("ascii").strip()))
            return
        except (binascii.Error, ValueError):
            fault = "is 'base64', but its data are not"
    raise MalformedRequest(
        f"The Content-Transfer-Encoding of the field {part.name[:60]!r} {fault}. Send the bytes as "
        f"they are: {snippet}.",
        parameter=part.name[:60],
        received=part.encoding[:60],
        allowed=("binary", "base64", "quoted-printable"),
        suggestion=snippet,
    )


def parse_multipart(
    data: bytes, content_type: str, *, max_items: int, takes: Sequence[str]
) -> list[Part]:
    """Parse a whole body.

    Args:
        data: The body.
        content_type: The header, which names the boundary.
        max_items: Largest number of files; 64 text fields may come beside them.
        takes: The kinds of items that the operation takes: names of the form's files.

    Raises:
        MalformedRequest: The boundary is missing, or the parts do not follow RFC 7578.
        PayloadTooLarge: More parts than files and fields may be, counted before they are parsed.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    snippet = f"curl -F {takes[0]}=@{_FILES[takes[0]]}"
    _check_parts(data, boundary, max_items, snippet)
    try:
        charset = codecs.lookup(options.get(b"charset", b"utf-8").decode("latin-1")).name
    except LookupError:
        charset = "latin-1"
    collector = _Collector(charset, snippet)
    try:
        parser = python_multipart.MultipartParser(
            boundary,
            {name: getattr(collector, name) for name in _CALLBACKS},  # type: ignore[arg-type]
        )
        parser.write(_without_preamble(data, boundary))
        parser.finalize()
    except (FormParserError, ValueError) as error:
        offset = getattr(error, "offset", -1)
        where = f" at byte {offset}" if offset >= 0 else f"; its boundary has {len(boundary)} bytes"
        if b"--" + boundary + b"\n" in data:
            where = ": its lines end in LF, not in CR LF"
        raise MalformedRequest(
            f"The body cannot be parsed as {MULTIPART_TYPE}{where}. Let a library write it: "
            f"{snippet}.",
            parameter="body",
            suggestion=snippet,
        ) from error
    _check_text_fields(collector.parts, snippet)
    return [part for part in collector.parts if part.data or not part.is_left_empty]


def _without_preamble(data: bytes, boundary: bytes) -> bytes:
    """The body from its first boundary on: what stands before it is no part (RFC 2046)."""
    if data.startswith(b"--" + boundary):
        return data
    start = data.find(b"\r\n--" + boundary)
    return data[start + 2 :] if start >= 0 else data


def _check_text_fields(parts: list[Part], snippet: str) -> None:
    found = sum(not part.is_file for part in parts)
    if found > MAX_FORM_FIELDS:
        raise MalformedRequest(
            f"{found} text fields are over the limit of {MAX_FORM_FIELDS} in a form. Send the "
            f"files and the parameters alone: {snippet} -F seed=1.",
            parameter="body",
            received=found,
            limit=MAX_FORM_FIELDS,
            suggestion=f"{snippet} -F seed=1",
        )


def _check_parts(data: bytes, boundary: bytes, max_items: int, snippet: str) -> None:
    """Count the parts, and refuse a body cut short: the parser would drop its last part."""
    if not boundary:
        raise MalformedRequest(
            f"The Content-Type {MULTIPART_TYPE} names no boundary. Let a library write header and "
            f"body: {snippet}, without a Content-Type of your own.",
            parameter="Content-Type",
            suggestion=snippet,
        )
    if b"--" + boundary + b"--" not in data:
        shown = boundary[:80].decode("latin-1")
        raise MalformedRequest(
            f"The {MULTIPART_TYPE} body is cut short: its closing boundary --{shown}-- is "
            f"missing. Send the whole body: {snippet}.",
            parameter="body",
            suggestion=snippet,
        )
    parts = data.count(b"--" + boundary) - 1
    if parts > max_items + MAX_FORM_FIELDS:
        raise PayloadTooLarge(
            f"{parts} parts are over this server's limit of {max_items} files (VAE_MAX_ITEMS) and "
            f"{MAX_FORM_FIELDS} text fields. Send {max_items} files per request, with the same "
            f"seed and first_item=0, {max_items}, ...; the result is identical.",
            parameter="body",
            received=parts,
            limit=max_items,
        )
