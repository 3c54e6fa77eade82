"""What files are that are no pictures of a format that is read."""

import pytest

from models.errors import UnsupportedMedia
from models.images.decoding import decode


def refuse(data):
    with pytest.raises(UnsupportedMedia) as caught:
        decode(data, background=0, max_pixels=10**6, media_type=None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("AVIF", b"\0\0\0\x20ftypavif"),
        ("HEIC", b"\0\0\0\x18ftypheic"),
        ("PAM", b"P7\nWIDTH 2\n"),
        ("JPEG XL", b"\xff\x0a\0\0"),
        ("Photoshop", b"8BPS\0\x01"),
        ("QOI", b"qoif\0\0"),
        ("SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">'),
        ("DICOM", bytes(128) + b"DICM"),
        ("FITS", b"SIMPLE  =    T"),
    ],
)
def test_a_picture_of_another_format_is_named_and_to_be_converted(name, data):
    message = refuse(data)
    assert message.startswith(f"{name} pictures are not read here; PNG, ")
    assert message.endswith("Convert it to PNG.")


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("text that begins with 'Milk, eggs'", b"Milk, eggs\nflour\n"),
        ("text that begins with 'file,label'", b"\xef\xbb\xbffile,label\r\na.png,3\r\n"),
        ("text that begins with 'Größe'", "Größe\n".encode()),
        ("text that begins with 'ä", ("ä" * 600).encode()[:1023]),
        ("text in UTF-16", "\ufeffMilk".encode("utf-16-be")),
        ("text in another encoding than UTF-8", "Größe, Käse, Milch".encode("latin-1")),
        ("PDF", b"%PDF-1.7\n"),
        ("HTML", b"<!DOCTYPE html>\n<html>"),
        ("XML", b'<?xml version="1.0"?>\n<rss>'),
        ("a zip file", b"PK\x03\x04\x14\0"),
        ("an npy array", b"\x93NUMPY\x01\0"),
        ("a video", b"\0\0\0\x18ftypmp42"),
        ("a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\n"),
    ],
)
def test_what_is_no_picture_is_not_to_be_converted(words, data):
    message = refuse(data)
    assert message.startswith(f"The file is {words}")
    assert "and no picture. Pictures are PNG, " in message
    assert "Convert" not in message


@pytest.mark.parametrize("data", [bytes(20), b"\xff\xfea\1b\1", b"abc\x07"])
def test_other_bytes_are_shown(data):
    message = refuse(data)
    assert f"it starts with the bytes {data[:8].hex(' ')}." in message
    assert "Convert" not in message
