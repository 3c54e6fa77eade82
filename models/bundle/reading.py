"""Reading of a bundle's files, each checked against the manifest; no weights are loaded here.

It imports no torch: what a bundle is, and how well it scored, is known without its networks.
"""

import codecs
import hashlib
import json
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from models.bundle.examples import EXAMPLES
from models.bundle.good_pictures import GOOD_PICTURES
from models.bundle.latent_map import MAP
from models.bundle.schema import (
    CARD,
    CONFIG,
    EVALUATION,
    FORMAT_VERSION,
    MANIFEST,
    PARITY,
    WEIGHTS,
    BundleConfig,
    Evaluation,
    Manifest,
)
from models.errors import (
    BundleCorrupt,
    BundleNotFound,
    BundleVersionUnsupported,
    describe_invalid,
    printable,
)

MAX_JSON_BYTES = 64 * 2**20
_REQUIRED = (CONFIG, WEIGHTS, PARITY, EVALUATION, CARD)

T = TypeVar("T", bound=BaseModel)


class Description(NamedTuple):
    """What a bundle says of its model."""

    config: BundleConfig
    evaluation: Evaluation
    digest: str
    """sha256 of manifest.json, hex; it changes when any byte of the bundle does."""
    has_good_pictures: bool
    """Whether it has scores of good pictures, for the operation `anomaly`."""


class _Head(BaseModel):
    """The field that every version of the format has."""

    format_version: int


def read_description(path: Path) -> Description:
    """Read what a bundle says of its model, without its weights.

    Every file must be there with its size; those that are not read may be damaged all the same.

    Raises:
        BundleNotFound: There is no such folder.
        BundleVersionUnsupported: The bundle has another format version.
        BundleCorrupt: A file is missing, damaged or does not match; the message names it.
    """
    return describe(path, read_files(path, only=(CONFIG, EVALUATION)))


def describe(path: Path, files: dict[str, bytes]) -> Description:
    """Parse the files of `read_files` that describe the model.

    Raises:
        BundleVersionUnsupported: The bundle has another format version.
        BundleCorrupt: A file does not say what it must, or the folder is another bundle's.
    """
    config = parse_versioned(path, CONFIG, files[CONFIG], BundleConfig)
    evaluation = _parse(path, EVALUATION, files[EVALUATION], Evaluation)
    if (config.name, str(config.version)) != (path.parent.name, path.name):
        is_link = path.is_symlink() or path.parent.is_symlink()
        fix = f"Move it to {path.parent.parent / config.name / str(config.version)}"
        raise BundleCorrupt(
            f"{path} {'is a link; it ' if is_link else ''}holds the bundle "
            f"{config.name}/{config.version}. {'Remove the link' if is_link else fix}."
        )
    digest = hashlib.sha256(files[MANIFEST]).hexdigest()
    listed = parse_versioned(path, MANIFEST, files[MANIFEST], Manifest).files
    return Description(config, evaluation, digest, GOOD_PICTURES in listed)


def read_files(path: Path, *, only: Collection[str] | None = None) -> dict[str, bytes]:
    """Every file's bytes, checked against the manifest, which is among them.

    Args:
        path: The version's folder.
        only: Names of the files to read; of the others, the sizes are checked. None for all.

    Raises:
        BundleNotFound: There is no such folder.
        BundleVersionUnsupported: The manifest has another format version.
        BundleCorrupt: A file is missing, damaged or not listed; the message names it.
    """
    raw, present = _read_manifest(path)
    manifest = parse_versioned(path, MANIFEST, raw, Manifest)
    for entry in present.values():
        _check_plain(path, entry)
    if missing := sorted({*manifest.files, *_REQUIRED} - present.keys()):
        raise BundleCorrupt(f"{path} lacks {', '.join(missing)}. Copy the whole bundle again.")
    if extra := sorted(present.keys() - manifest.files.keys() - {MANIFEST}):
        raise BundleCorrupt(
            f"{path} holds {', '.join(map(printable, extra))}, which {MANIFEST} does not list. "
            "Remove them."
        )
    for name in {CONFIG, EVALUATION, GOOD_PICTURES, EXAMPLES, MAP} & present.keys():
        _check_json_size(path, present[name])
    files = {MANIFEST: raw}
    for name, listed in manifest.files.items():
        if (size := present[name].stat().st_size) != listed.size_bytes:
            raise BundleCorrupt(
                f"{path / name} has a size of {size} bytes; {MANIFEST} lists {listed.size_bytes}. "
                "Copy the file again."
            )
        if only is not None and name not in only:
            continue
        files[name] = (path / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != listed.sha256:
            raise BundleCorrupt(
                f"{path / name} has another sha256 than {MANIFEST} lists. Copy the file again."
            )
    return files


def _read_manifest(path: Path) -> tuple[bytes, dict[str, os.DirEntry[str]]]:
    """The manifest's bytes, and what the folder holds."""
    if not path.is_dir():
        raise BundleNotFound(f"There is no bundle folder {path}. Check the path.")
    with os.scandir(path) as entries:
        present = {entry.name: entry for entry in entries}
    if MANIFEST not in present:  # said first: the entries of what is no bundle are not named
        raise BundleCorrupt(f"{path} has no {MANIFEST}. Export the bundle again.")
    _check_plain(path, present[MANIFEST])
    _check_json_size(path, present[MANIFEST])
    return (path / MANIFEST).read_bytes(), present


def _check_plain(path: Path, entry: os.DirEntry[str]) -> None:
    """Refuse a link, a folder, or what would block its reader, such as a pipe."""
    if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        return
    kind = "a folder" if entry.is_dir(follow_symlinks=False) else "a device, a pipe or a socket"
    kind = "a link" if entry.is_symlink() else kind
    raise BundleCorrupt(
        f"{path / printable(entry.name)} is {kind}; a bundle holds plain files only. Replace it by "
        "the file itself."
    )


def _check_json_size(path: Path, entry: os.DirEntry[str]) -> None:
    if (size := entry.stat().st_size) > MAX_JSON_BYTES:
        raise BundleCorrupt(
            f"{path / entry.name} has a size of {size} bytes, over the limit of {MAX_JSON_BYTES}. "
            "Export the bundle again."
        )


def parse_versioned(path: Path, name: str, raw: bytes, model: type[T]) -> T:
    """Parse a file whose format version is checked before its other fields.

    Args:
        path: The version's folder.
        name: The file's name.
        raw: Its content.
        model: What it must hold.

    Raises:
        BundleVersionUnsupported: It has another format version.
        BundleCorrupt: It does not say what it must.
    """
    head = _parse(path, name, raw, _Head)
    if head.format_version != FORMAT_VERSION:
        raise BundleVersionUnsupported(
            f"{path / name} has format version {head.format_version}; this version of vae-serve "
            f"reads {FORMAT_VERSION}. Upgrade it, or export the model again.",
            received=head.format_version,
            allowed=[FORMAT_VERSION],
        )
    return _parse(path, name, raw, model)


def _parse(path: Path, name: str, raw: bytes, model: type[T]) -> T:
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        json.loads(raw.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(
            f"{path / name} is not JSON as bundles have it: {error}. Export the bundle again."
        ) from error
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise BundleCorrupt(f"{path / name}: {describe_invalid(error)}") from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found
