"""What a word is that names no data set, and the command or the step that makes it one.

Reads names only: a data set is a known name, a folder of pictures, an `.npz` or an `.npy`, a `.tar`
or a `.parquet`, or a folder of these two.
"""

import re
from pathlib import Path

DATA_FORMS = "a folder of pictures, an .npz, an .npy, and .tar or .parquet shards"
"""What a path to data may be."""

ARRAY_SUFFIXES = (".npz", ".npy")
SHARD_SUFFIXES = (".tar", ".parquet")
FILE_SUFFIXES = (*ARRAY_SUFFIXES, *SHARD_SUFFIXES)
"""Ends of the names of files that are data sets."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_TABLES = (
    *(".csv", ".tsv", ".feather", ".arrow", ".xlsx", ".xls", ".ods"),
    *(".json", ".jsonl", ".ndjson", ".sqlite", ".db", ".lmdb", ".mdb"),
)
_ARRAYS = (
    *(".mat", ".h5", ".hdf5", ".hdf", ".nc", ".pt", ".pth", ".pkl", ".pickle", ".joblib"),
    *(".tfrecord", ".tfrecords", ".safetensors", ".nii", ".dcm", ".zarr", ".bin"),
)
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".heic", ".heif", ".avif", ".svg"),
)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


_TO_TAR = {
    **{".tar.gz": "gunzip -k", ".tgz": "gunzip -k", ".tar.bz2": "bunzip2 -k"},
    **{".tbz2": "bunzip2 -k", ".tar.xz": "unxz -k", ".txz": "unxz -k", ".tar.zst": "unzstd"},
}


def is_archive(path: Path) -> bool:
    """Whether a name ends as archives and compressed files do."""
    return path.suffix.lower() in _ARCHIVES


def is_url(source: str) -> bool:
    """Whether a word is an address: https://, s3:// and the like."""
    return _URL.match(source) is not None


def why_no_dataset(source: str) -> tuple[str, str] | None:
    """What an address or a file with that name is, and what to do; None where the name tells not.

    Args:
        source: As the user wrote it.
    """
    path = Path(source)
    suffix, stem = path.suffix.lower(), path.name.split(".")[0] or "data"
    if is_url(source):
        return (
            f"{source} is a URL, and data are read from this machine.",
            f"Download it, unpack it, and name the folder. Data are {DATA_FORMS}.",
        )
    if is_archive(path):
        inner = path.with_suffix("").suffix.lower()
        if inner in (".npy", ".npz"):
            return (
                f"{source} is compressed. Data are {DATA_FORMS}.",
                f"Unpack it: gunzip -k '{source}'",
            )
        command = f"unzip '{source}' -d '{stem}'" if suffix == ".zip" else (
            f"mkdir '{stem}' && tar -xf '{source}' -C '{stem}'"
        )  # fmt: skip
        return (
            f"{source} is an archive. Data are {DATA_FORMS}.",
            f"Unpack it and name the folder: {command}{_as_shard(path)}",
        )
    if suffix in PICTURE_SUFFIXES:
        return (
            f"{source} is one picture. Data are {DATA_FORMS}.",
            f"Name its folder: {path.parent}",
        )
    if suffix in _TABLES:
        return (
            f"{source} is a table. Data are {DATA_FORMS}.",
            "Save the pixels as an array (pictures, height, width): "
            f'numpy.savez("{stem}.npz", images=pixels.reshape(-1, height, width))',
        )
    if suffix in _ARRAYS:
        return (
            f"{source} is a file of another program. Data are {DATA_FORMS}.",
            "Load it there, and save the pictures as an array: "
            f'numpy.savez("{stem}.npz", images=pictures)',
        )
    return None


def _as_shard(path: Path) -> str:
    """What to do with a compressed tar that is a shard; empty for other archives."""
    for ending, command in _TO_TAR.items():
        if path.name.lower().endswith(ending):
            return f"\nOr, if it is a shard (pictures beside .cls files): {command} '{path}'"
    return ""
