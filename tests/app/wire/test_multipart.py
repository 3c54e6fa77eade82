"""Forms are parsed at once, in memory, as HTTP clients write them."""

import pytest

from app.errors import MalformedRequest
from app.wire.multipart import MAX_FORM_FIELD_BYTES, parse_multipart

HEADER = "multipart/form-data; boundary=x"


def form(*parts: bytes) -> bytes:
    """A body of parts, each of them headers, an empty line and data."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


def field(name: bytes, data: bytes, *, filename: bytes = b"", extra: bytes = b"") -> bytes:
    file = b'; filename="' + filename + b'"' if filename else b""
    disposition = b'Content-Disposition: form-data; name="' + name + b'"' + file + b"\r\n"
    return disposition + extra + b"\r\n" + data


def test_files_and_fields_come_in_order_with_their_types() -> None:
    body = form(
        field(b"images", b"\x00\r\n\xff", filename=b"a.png", extra=b"Content-Type: image/png\r\n"),
        field("größe".encode(), "zwölf".encode()),
    )
    picture, text = parse_multipart(body, HEADER, max_items=1)
    assert (picture.name, picture.is_file, bytes(picture.data)) == ("images", True, b"\x00\r\n\xff")
    assert picture.content_type == "image/png"
    assert (text.name, text.is_file, text.text) == ("größe", False, "zwölf")


def test_text_of_another_charset_is_decoded_as_the_header_says() -> None:
    body = form(field(b"label", "é".encode("latin-1")))
    for charset in ("latin-1", "utf-8", "nonsense"):  # what UTF-8 cannot decode is Latin-1
        (part,) = parse_multipart(body, f"{HEADER}; charset={charset}", max_items=1)
        assert part.text == "é"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (form(b"Content-Type: text/plain\r\n\r\nx"), "no name"),
        (form(b"nonsense\r\n\r\nx"), "cannot be parsed"),
        (form(*[field(b"f%d" % i, b"") for i in range(65)]), "more than 64 text fields"),
        (form(field(b"f", b"x" * (MAX_FORM_FIELD_BYTES + 1))), "more than 64 KiB"),
        (form(field(b"f", b"x"))[:-6], "closing boundary --x-- is missing"),
    ],
)
def test_a_form_that_no_client_writes_is_malformed(body: bytes, fault: str) -> None:
    with pytest.raises(MalformedRequest, match=r"curl -F images=@digit\.png") as refusal:
        parse_multipart(body, HEADER, max_items=10)
    assert fault in str(refusal.value)


def test_a_header_without_a_boundary_or_with_one_too_long_is_malformed() -> None:
    with pytest.raises(MalformedRequest, match="names no boundary"):
        parse_multipart(b"--x--", "multipart/form-data", max_items=1)
    long = b"x" * 1000
    with pytest.raises(MalformedRequest, match="cannot be parsed"):
        parse_multipart(
            b"--" + long + b"--", f"multipart/form-data; boundary={long.decode()}", max_items=1
        )
