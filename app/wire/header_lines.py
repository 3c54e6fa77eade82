"""Header lines of an answer: headers to bytes and back, without what would end a line early."""

from collections.abc import Sequence
from itertools import chain

_LEGAL = bytes({*range(256)} - {*range(32), 127} | {*b"\t\r\n"})
"""What header lines may hold, CR and LF in pairs (RFC 9110, section 5.5)."""


def write_lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The lines of headers, each with its line end.

    Raises:
        RuntimeError: A header has a control character.
    """
    lines = b"%b: %b\r\n" * len(headers) % tuple(chain.from_iterable(headers))
    ends = lines.count(b"\r"), lines.count(b"\n"), lines.count(b"\r\n")
    if lines.translate(None, _LEGAL) or ends != (len(headers),) * 3:
        raise RuntimeError("A header has a control character.")
    return lines


def split_lines(lines: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of lines that `write_lines` wrote."""
    parts = (line.partition(b": ") for line in lines.split(b"\r\n")[:-1])
    return [(name, value) for name, _, value in parts]
