"""The trace that a request is part of, by its header traceparent (W3C Trace Context)."""

import re

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


def read_trace_id(traceparent: bytes) -> str:
    """The trace's id, 32 hex digits; empty where the header is malformed, as if it were absent."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return "" if found is None else found[1].decode()
