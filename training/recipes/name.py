"""A recipe's name, made from the name or the path of its data."""

import hashlib
import re
import unicodedata
from pathlib import Path


def recipe_name(source: str) -> str:
    """A model's name made from a data set's name or the last part of its path.

    Accents are dropped. A name that loses letters of other scripts, or its end, ends with a digest
    of the whole, so that two folders do not share it by chance.
    """
    last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    if last in ("", ".", ".."):
        last = Path(source).resolve().name
    stem = re.sub(r"\.(np[yz]|tar|parquet)$", "", unicodedata.normalize("NFKD", last).lower())
    bare = "".join(sign for sign in stem if not unicodedata.combining(sign))
    name = re.sub(r"[^a-z0-9_-]+", "-", bare).strip("-")
    if len(name) <= 64 and name and not re.search(r"[^\W_]", re.sub("[a-z0-9]", "", bare)):
        return name
    whole = unicodedata.normalize("NFC", last).encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(whole).hexdigest()[:8]
    return f"{name[:55].strip('-') or 'pictures'}-{digest}"
