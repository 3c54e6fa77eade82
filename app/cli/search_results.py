"""What a search found: as a table, CSV, JSON, or one picture with a row for each query."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from app.cli.terminal import print_whole, say
from app.search.folder import Item, SearchIndex
from app.search.neighbours import Neighbours
from app.wire.rendering import to_json
from models.errors import VAEError, printable
from models.files import write_whole
from models.images import ImageSpec, read_levels, to_sheet
from vae_client.errors import CallError
from vae_client.sources import load_arrays

TILE = ImageSpec(channels=3, height=96, width=96, fit="pad")
"""How a picture is shown in a grid."""
MISSING = np.full((1, 3, TILE.height, TILE.width), 64, np.uint8)
"""A picture that is no longer there."""
_ROW = re.compile(r"(.+)\[([0-9]+)\]")
Query = bytes | np.ndarray | Path


def write_results(
    form: str,
    out: Path | None,
    index: SearchIndex,
    names: Sequence[str],
    queries: Sequence[Query],
    found: Neighbours,
) -> None:
    """Write what a search found.

    Args:
        form: ".csv", ".json", ".png" or "table".
        out: The file; None for standard output.
        index: What was searched.
        names: The queries' names.
        queries: The queries themselves, for a picture of them.
        found: Their neighbours.
    """
    if form == ".png":
        content: str | bytes = _grid(index, queries, found)
    elif form == ".json":
        content = _json(index, names, found)
    else:
        content = _table(index, names, found) if form == "table" else _csv(index, names, found)
    if out is None:
        print_whole(content)
    else:
        write_whole(out, content.encode() if isinstance(content, str) else content)


def _rows(
    index: SearchIndex, names: Sequence[str], found: Neighbours
) -> list[tuple[str, int, str, float]]:
    """Query, rank, file and distance of each neighbour."""
    return [
        (name, rank, index.items[row].file, distance)
        for name, rows, distances in zip(names, *found, strict=True)
        for rank, (row, distance) in enumerate(
            zip(rows.tolist(), distances.tolist(), strict=True), start=1
        )
    ]


def _csv(index: SearchIndex, names: Sequence[str], found: Neighbours) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("query", "rank", "file", "distance"))
    writer.writerows(_rows(index, names, found))
    return buffer.getvalue()


def _table(index: SearchIndex, names: Sequence[str], found: Neighbours) -> str:
    rank, distance = (Column(name, justify="right") for name in ("rank", "distance"))
    table = Table("query", rank, "file", distance, box=box.SIMPLE)
    for name, place, file, apart in _rows(index, names, found):
        cells = (name if place == 1 else "", str(place), file, f"{apart:.3f}")
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console = Console()
    with console.capture() as printed:
        console.print(table)
    return printed.get()


def _json(index: SearchIndex, names: Sequence[str], found: Neighbours) -> str:
    results = [
        {
            "query": name,
            "neighbours": [
                {"file": index.items[row].file, "distance": distance}
                for row, distance in zip(rows.tolist(), distances.tolist(), strict=True)
            ],
        }
        for name, rows, distances in zip(names, *found, strict=True)
    ]
    model = index.description.model.model_dump()
    return to_json({"model": model, "results": results}).decode() + "\n"


def _grid(index: SearchIndex, queries: Sequence[Query], found: Neighbours) -> bytes:
    """Each query, and its neighbours to the right of it."""
    lost: dict[str, None] = {}
    tiles = []
    for query, rows in zip(queries, found.rows.tolist(), strict=True):
        tiles.append(_tile(query))
        for row in rows:
            item = index.items[row]
            try:
                tiles.append(_tile(_open(index, item)))
            except (OSError, VAEError, CallError, IndexError):
                lost[item.file] = None
                tiles.append(MISSING)
    for name in lost:
        say(f"Warning: {name} cannot be read any more; its place in the picture is grey.")
    return to_sheet(np.concatenate(tiles), found.rows.shape[1] + 1)


def _open(index: SearchIndex, item: Item) -> bytes | np.ndarray:
    """The picture of an item, or the row of its array."""
    place = index.place_of(item)
    row = _ROW.fullmatch(str(place))
    if row is None or place.exists():
        return place.read_bytes()
    arrays = load_arrays(Path(row[1]), row[1])
    return np.asarray(arrays.get("images", next(iter(arrays.values())))[int(row[2])])


def _tile(content: Query) -> np.ndarray:
    if isinstance(content, Path):
        content = content.read_bytes()
    return np.asarray(read_levels(content, TILE))
