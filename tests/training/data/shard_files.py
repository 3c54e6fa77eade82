"""Tar and Parquet shards of small pictures of noise."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

Members = Iterable[tuple[str, bytes]]


def picture(seed: int, *, side: int = 6, form: str = "PNG") -> bytes:
    """A picture of noise, the same for the same seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def samples(seeds: range, *, classes: Sequence[str] | None = ("0", "1")) -> list[tuple[str, bytes]]:
    """A picture and a .cls for each seed; the classes take turns."""
    found = []
    for seed in seeds:
        found.append((f"{seed:06}.png", picture(seed)))
        if classes is not None:
            found.append((f"{seed:06}.cls", classes[seed % len(classes)].encode()))
    return found


def write_tar(path: Path, members: Members) -> Path:
    """A tar of these members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_parquet(
    path: Path,
    columns: Mapping[str, Sequence[object]],
    *,
    features: Mapping[str, object] | None = None,
    rows: int = 7,
) -> Path:
    """A Parquet file of these columns, so many rows in a group; as Hugging Face declares them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table({name: list(column) for name, column in columns.items()})
    if features is not None:
        words = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": words})
    parquet.write_table(table, path, row_group_size=rows)
    return path


def cells(seeds: range) -> list[dict[str, object]]:
    """Pictures as Hugging Face stores them."""
    return [{"bytes": picture(seed), "path": f"{seed}.png"} for seed in seeds]
