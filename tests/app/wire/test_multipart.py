"""Forms are parsed at once, in memory, as HTTP clients write them."""

import base64
import binascii

import pytest

from app.errors import InvalidParameter, MalformedRequest
from app.wire.bodies import parse_body
from app.wire.multipart import MAX_FORM_FIELD_BYTES, parse_multipart

HEADER = "multipart/form-data; boundary=x"
TAKES = ("images",)
DATA = b"\x89PNG\r\n=\x1a\n" + bytes(range(200))


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


@pytest.mark.parametrize(
    "disposition",
    [
        b"form-data; name=\"images\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.png",
        b"form-data; name=images; FILENAME = a.png",
        b"form-data; name=images",
    ],
)
def test_a_file_is_one_by_either_filename_or_by_its_type(disposition: bytes) -> None:
    head = b"Content-Disposition: " + disposition + b"\r\nContent-Type: image/png\r\n\r\n"
    (part,) = parse_multipart(form(head + b"x" * 99_999), HEADER, max_items=1, takes=TAKES)
    assert (part.name, part.is_file, len(part.data)) == ("images", True, 99_999)


def test_a_part_of_another_name_or_of_text_is_no_file_by_its_type() -> None:
    typed = field(b"seed", b"1", extra=b"Content-Type: application/json\r\n")
    text = field(b"images", b"1", extra=b"Content-Type: text/plain; charset=utf-8\r\n")
    parts = parse_multipart(form(typed, text), HEADER, max_items=1, takes=TAKES)
    assert [(part.is_file, part.text) for part in parts] == [(False, "1"), (False, "1")]


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (b"base64", base64.encodebytes(DATA).replace(b"\n", b"\r\n")),
        (b"BASE64", base64.b64encode(DATA)),
        (b"quoted-printable", binascii.b2a_qp(DATA, istext=False)),
        (b"binary", DATA),
        (b"8bit", DATA),
        (b"7bit", DATA),
    ],
)
def test_a_parts_transfer_encoding_is_undone(encoding: bytes, data: bytes) -> None:
    extra = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    file, text = parse_multipart(
        form(
            field(b"images", data, filename=b"a", extra=extra),
            field(b"seed", {b"base64": b"MQ=="}.get(encoding.lower(), b"1"), extra=extra),
        ),
        HEADER,
        max_items=1,
        takes=TAKES,
    )
    assert bytes(file.data) == DATA
    assert text.text == "1"


@pytest.mark.parametrize(
    ("extra", "data", "fault"),
    [
        (b"Content-Transfer-Encoding: uuencode\r\n", b"x", "is 'uuencode', which is not read"),
        (b"Content-Transfer-Encoding: base64\r\n", b"\xff", "'base64', but its data are not"),
        (b"Content-Transfer-Encoding: base64\r\n", b"a", "'base64', but its data are not"),
        (b"Content-Type: multipart/mixed; boundary=y\r\n", b"--y", "a form within a form"),
    ],
)
def test_a_part_that_is_not_read_is_named(extra: bytes, data: bytes, fault: str) -> None:
    body = form(field(b"images", data, filename=b"a", extra=extra))
    with pytest.raises(MalformedRequest, match=fault) as refusal:
        parse_multipart(body, HEADER, max_items=1, takes=TAKES)
    assert refusal.value.details["parameter"] == "images"


def test_what_stands_around_the_parts_is_no_part() -> None:
    body = form(field(b"images", b"x", filename=b"a"))
    for around in (b"This is a form.\r\n" + body, b"\r\n" + body, body + b"the end\r\n"):
        (part,) = parse_multipart(around, HEADER, max_items=1, takes=TAKES)
        assert bytes(part.data) == b"x"


def test_a_file_that_was_not_chosen_is_left_out_and_an_empty_one_is_not() -> None:
    none = b'Content-Disposition: form-data; name="images"; filename=""\r\n\r\n'
    empty = field(b"images", b"", filename=b"a.png")
    (part,) = parse_multipart(form(none, empty), HEADER, max_items=2, takes=TAKES)
    assert (part.is_file, bytes(part.data)) == (True, b"")


def test_lines_that_end_in_lf_are_named() -> None:
    body = form(field(b"images", b"x", filename=b"a")).replace(b"\r\n", b"\n")
    with pytest.raises(MalformedRequest, match="end in LF, not in CR LF"):
        parse_multipart(body, HEADER, max_items=1, takes=TAKES)


def test_a_misspelt_field_of_a_file_gets_the_right_one() -> None:
    for name in (b"image", b"images[]", b"images[0]", b"Images", b"file"):
        body = form(field(name, b"x", filename=b"a"))
        with pytest.raises(InvalidParameter, match="curl -F images=@FILE") as refusal:
            parse_body(body, HEADER, max_bytes=99, max_items=1, takes=TAKES)
        assert refusal.value.details["parameter"] == name.decode()


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


@pytest.mark.parametrize("length", [10, 1000])
def test_a_filename_may_be_long(length: int) -> None:
    body = form(field(b"images", b"x", filename=b"a" * length))
    (part,) = parse_multipart(body, HEADER, max_items=1, takes=TAKES)
    assert (part.name, part.is_file, bytes(part.data)) == ("images", True, b"x")
