"""Base64 as mail, browsers and Python write it, and data URLs."""

import base64

import pytest

from app.wire.base64_text import decode_base64, decode_data_url

DATA = bytes(range(256)) * 2
TEXT = base64.b64encode(DATA).decode()
LINES = base64.encodebytes(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        LINES,
        LINES.replace("\n", "\r\n"),
        LINES.replace("\n", "\r"),
        LINES.replace("\n", " \n\t"),
        f"{TEXT}\n",
        TEXT.rstrip("="),
        base64.urlsafe_b64encode(DATA).decode(),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    ],
)
def test_base64_of_any_line_length_and_alphabet_is_read(text: str) -> None:
    assert decode_base64(text) == DATA


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (TEXT.replace("+", " "), "read + as a space"),
        (TEXT.replace("+", "-"), "both alphabets"),
        (TEXT.rstrip("=")[:-2], "cut short"),
        (f"{TEXT}==", "not that of base64"),
        ("QQ==QQ==", "data"),
        ("é" * 4, "ASCII"),
        ("a.bc", "base64"),
    ],
)
def test_text_that_was_changed_on_its_way_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match="(?i)" + fault.replace("+", r"\+")):
        decode_base64(text)


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64",
        "DATA:IMAGE/PNG;BASE64",
        "data:image/png;charset=utf-8;base64",
        'data:image/png;name="a b.png"; base64',
    ],
)
def test_a_data_url_has_a_type_and_bytes(head: str) -> None:
    escaped = TEXT.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
    assert decode_data_url(f"{head},{TEXT}") == ("image/png", DATA)
    assert decode_data_url(f"{head},{LINES}") == ("image/png", DATA)
    assert decode_data_url(f"{head},{escaped}") == ("image/png", DATA)


def test_a_data_url_may_lack_a_type_or_base64() -> None:
    assert decode_data_url(f"data:;base64,{TEXT}") == ("", DATA)
    assert decode_data_url("data:image/bmp,BM%00%ff") == ("image/bmp", b"BM\0\xff")


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:" + "x" * 300 + ",QQ=="])
def test_a_data_url_has_a_comma_after_a_short_head(url: str) -> None:
    with pytest.raises(ValueError, match="comma"):
        decode_data_url(url)
