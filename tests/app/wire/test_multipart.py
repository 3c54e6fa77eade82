"""Forms are parsed at once, in memory, as HTTP clients write them."""

import pytest

from app.errors import MalformedRequest
from app.wire.multipart import MAX_FORM_FIELD_BYTES, parse_multipart

HEADER = "multipart/form-data; boundary=x"
TAKES = ("images",)


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
    picture, text = parse_multipart(body, HEADER, max_items=1, takes=TAKES)
    assert (picture.name, picture.is_file, bytes(picture.data)) == ("images", True, b"\x00\r\n\xff")
    assert picture.content_type == "image/png"
    assert (text.name, text.is_file, text.text) == ("größe", False, "zwölf")


def test_text_of_another_charset_is_decoded_as_the_header_says() -> None:
    body = form(field(b"label", "é".encode("latin-1")))
    for charset in ("latin-1", "utf-8", "nonsense"):  # what UTF-8 cannot decode is Latin-1
        (part,) = parse_multipart(body, f"{HEADER}; charset={charset}", max_items=1, takes=TAKES)
        assert part.text == "é"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (form(b"Content-Type: text/plain\r\n\r\nx"), "no name"),
        (form(b"nonsense\r\n\r\nx"), "cannot be parsed as multipart/form-data at byte 13"),
        (form(*[field(b"f%d" % i, b"") for i in range(70)]), "70 text fields are over the limit"),
        (form(field(b"f", b"x" * (MAX_FORM_FIELD_BYTES + 1))), "'f' has more than 64 KiB"),
        (form(field(b"f", b"x"))[:-6], "closing boundary --x-- is missing"),
    ],
)
def test_a_form_that_no_client_writes_is_malformed(body: bytes, fault: str) -> None:
    with pytest.raises(MalformedRequest, match=r"curl -F images=@digit\.png") as refusal:
        parse_multipart(body, HEADER, max_items=10, takes=TAKES)
    assert fault in str(refusal.value)
    assert refusal.value.details["parameter"] == ("f" if "KiB" in fault else "body")
    assert refusal.value.details["suggestion"].startswith("curl -F images=@digit.png")


def test_too_many_text_fields_are_counted_and_the_limit_is_named() -> None:
    body = form(*[field(b"f%d" % i, b"") for i in range(70)])
    with pytest.raises(MalformedRequest) as refusal:
        parse_multipart(body, HEADER, max_items=10, takes=TAKES)
    details = refusal.value.details
    assert (details["received"], details["limit"]) == (70, 64)


def test_the_advice_is_a_form_of_what_the_operation_takes() -> None:
    with pytest.raises(MalformedRequest, match=r"curl -F latents=@latents\.npy"):
        parse_multipart(b"--x", HEADER, max_items=1, takes=("latents",))


def test_a_header_without_a_boundary_or_with_one_too_long_is_malformed() -> None:
    with pytest.raises(MalformedRequest, match="names no boundary"):
        parse_multipart(b"--x--", "multipart/form-data", max_items=1, takes=TAKES)
    long = b"x" * 1000
    header = f"multipart/form-data; boundary={long.decode()}"
    with pytest.raises(MalformedRequest, match="its boundary has 1000 bytes"):
        parse_multipart(b"--" + long + b"--", header, max_items=1, takes=TAKES)
