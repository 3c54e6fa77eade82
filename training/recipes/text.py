"""Text files of recipes, runs and evaluations: UTF-8, with a byte order mark or without."""

import codecs
from pathlib import Path

from models.errors import ConfigError

_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""UTF-32 first: its mark begins with that of UTF-16."""


def read_text(path: Path) -> str:
    """A file's text, without its byte order mark.

    Raises:
        ConfigError: The text is not UTF-8; the message names UTF-16 and UTF-32.
        OSError: The file cannot be read.
    """
    raw = path.read_bytes()
    found = next((name for mark, name in _OTHER_MARKS.items() if raw.startswith(mark)), None)
    if found is None and b"\0" in raw[:4] and len(raw) > 1:
        found = "UTF-16"
    try:
        if found is None:
            return raw.decode("utf-8-sig")
        fault = f"in {found}"
    except UnicodeDecodeError as error:
        fault = f"not UTF-8 (byte {error.start:,} is 0x{raw[error.start]:02x})"
    raise ConfigError(
        f"{path} is {fault}; recipes and JSON files are read as UTF-8. Save it as UTF-8.",
        parameter=str(path),
        allowed=["UTF-8"],
    )
