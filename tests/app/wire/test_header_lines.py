"""Header lines: what was written is read back, and no header ends a line early."""

import pytest

from app.wire.header_lines import split_lines, write_lines

HEADERS = [(b"a", b"b: c"), (b"x-empty", b""), (b"x-tab", b"\t\xe9 ~")]


def test_lines_are_read_as_they_were_written() -> None:
    assert write_lines(HEADERS) == b"a: b: c\r\nx-empty: \r\nx-tab: \t\xe9 ~\r\n"
    assert split_lines(write_lines(HEADERS)) == HEADERS
    assert split_lines(write_lines([])) == []


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"\0", b"\x1f", b"\x7f"])
def test_a_control_character_is_refused(value: bytes) -> None:
    with pytest.raises(RuntimeError, match="control character"):
        write_lines([(b"x", value)])
    with pytest.raises(RuntimeError, match="control character"):
        write_lines([(value, b"x")])
