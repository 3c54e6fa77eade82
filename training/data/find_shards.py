"""Whether a path holds shards, tar or Parquet files, and which."""

from pathlib import Path

from rich.console import Console

from models.files import Found
from training.data.disk_cache import DiskCache
from training.data.file_split import SkippedFile
from training.data.parquet_shards import ParquetShards
from training.data.refusals import PICTURE_SUFFIXES, SHARD_SUFFIXES
from training.data.shards import Shards, skip_others
from training.data.tar_shards import TarShards
from training.errors import DatasetError


def find_shards(
    path: Path, found: Found | None, *, cache: DiskCache, console: Console | None
) -> Shards | None:
    """The shards of a file or a folder; None of a folder that has pictures, or no shards.

    Args:
        path: The file or folder.
        found: What a search of the folder found; None of a file.
        cache: Keeps what is known of shards that do not change.
        console: Where to show progress; nowhere if None.

    Raises:
        DatasetError: Shards of two kinds in one folder, or shards that cannot be read.
    """
    if found is None:
        return _open(path, [path], [], cache, console)
    suffixes = {one.suffix.lower() for one in found.files}
    kinds = sorted(suffixes & set(SHARD_SUFFIXES))
    if not kinds or suffixes & set(PICTURE_SUFFIXES):
        return None
    if len(kinds) > 1:
        raise DatasetError(
            f"{path} holds shards of two kinds, {' and '.join(kinds)}. Move those of one kind to a "
            "folder of their own, and name it.",
            received=str(path),
        )
    shards = [one for one in found.files if one.suffix.lower() == kinds[0]]
    others = [(one, f"no {kinds[0]}") for one in found.files if one.suffix.lower() != kinds[0]]
    skipped = skip_others(path, [*others, *found.left_out, *found.unreadable])
    return _open(path, shards, skipped, cache, console)


def _open(
    root: Path,
    paths: list[Path],
    skipped: list[SkippedFile],
    cache: DiskCache,
    console: Console | None,
) -> Shards:
    if paths[0].suffix.lower() == ".parquet":
        return ParquetShards(root, paths, skipped=skipped)
    return TarShards(root, paths, skipped=skipped, cache=cache, console=console)
