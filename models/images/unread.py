"""What a file is that is no picture of a format that is read here, by its first bytes."""

import re

_PICTURES = (
    ("AVIF", rb".{4}ftyp(avif|avis)"),
    ("HEIC", rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
    ("JPEG XR", rb"II\xbc\x01"),
    ("PAM", rb"P7\s"),
    ("Photoshop", rb"8BPS\0\x01"),
    ("ICO", rb"\0\0[\1\2]\0[^\0]"),
    ("QOI", rb"qoif"),
    ("OpenEXR", rb"v/1\x01"),
    ("Radiance HDR", rb"#\?R(ADIANCE|GBE)"),
    ("DDS", rb"DDS "),
    ("ICNS", rb"icns"),
    ("PCX", rb"\x0a[\0-\5]\x01[\1\2\4\x08]"),
    ("FITS", rb"SIMPLE  ="),
    ("DICOM", rb".{128}DICM"),
    ("XCF (GIMP)", rb"gimp xcf"),
    ("FLIF", rb"FLIF"),
    ("SVG", rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]"),
    ("XPM", rb"/\* XPM \*/"),
    ("XBM", rb"#define \w+_width \d"),
    ("Windows metafile", rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
)
_OTHERS = (
    ("PDF", rb"%PDF-"),
    ("PostScript", rb"%!PS"),
    ("a video", rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI |\0\0\x01\xba"),
    ("a sound", rb"ID3|RIFF.{4}WAVE|OggS|fLaC"),
    ("HTML", rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head|body)[\s>]"),
    ("XML", rb"\s*<\?xml"),
    ("a zip file", rb"PK\x03\x04"),
    ("a gzip file", rb"\x1f\x8b"),
    ("an npy array", rb"\x93NUMPY"),
    ("HDF5", rb"\x89HDF\r\n"),
    ("an Office document", rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("a pickle of Python objects", rb"\x80[\x02-\x05]"),
    ("text in UTF-16", rb"\xff\xfe[^\0]\0|\xfe\xff\0[^\0]"),
    ("a resource fork of macOS", rb"\0\x05\x16[\0\x07]\0"),
    ("a .DS_Store of macOS", rb"\0\0\0\x01Bud1"),
    ("a pointer of Git LFS", rb"version https://git-lfs"),
)
_FLAGS = re.DOTALL | re.IGNORECASE


_LEGACY = "text in another encoding than UTF-8"
_ASCII = re.compile(rb"[\t\n\r -~]")
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0e-\x1f\x7f]")


def other_picture(data: bytes) -> str | None:
    """The format of a picture that is not read here."""
    return _first(_PICTURES, data[:1024])


def describe_file(data: bytes) -> str | None:
    """What bytes are that are no picture, in words; None where their beginning does not tell."""
    head = data[:1024]
    if found := _first(_OTHERS, head):
        return found
    if is_text(head):
        line = head.decode("utf-8-sig", "replace").strip().partition("\n")[0].rstrip()
        shown = line if len(line) <= 40 else f"{line[:40]}..."
        return f"text that begins with {shown!r}"
    is_mostly_letters = len(_ASCII.findall(head)) > 0.7 * len(head)
    return _LEGACY if is_mostly_letters and not _CONTROL.search(head) else None


def is_text(head: bytes) -> bool:
    """Whether bytes are text in UTF-8, without control characters but blanks."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a letter is cut in two
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter.isspace() or letter == "\ufeff" for letter in text)


def _first(table: tuple[tuple[str, bytes], ...], head: bytes) -> str | None:
    return next((name for name, magic in table if re.match(magic, head, _FLAGS)), None)
