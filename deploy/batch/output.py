"""Results of a batch: a folder of Parquet files, one a block, each written whole or not at all.

Columns: `item` (int64, the index among all), `file`, `error` (null where there is an answer),
`warnings` (their codes), then the fields of the service's answer: a number is a column, an array a
list of its row's values. Pictures are structs of PNG `bytes` and `path`. What all rows share, such
as the bound and the seed, stands in the schema's metadata under `vae_serve`.
"""

import io
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from app.operations.table import Operation
from deploy.batch.job import Job
from deploy.batch.places import Place
from deploy.batch.worker import Rows
from models.images import to_png, to_uint8

SKIPPED = "_skipped.csv"
METADATA = b"vae_serve"


def block_name(block: int) -> str:
    """Name of a block's file."""
    return f"part-{block:06d}.parquet"


def missing_blocks(place: Place, job: Job) -> list[int]:
    """The blocks that have no file yet."""
    names = place.names()
    return [block for block in range(job.num_blocks) if block_name(block) not in names]


def write_block(place: Place, block: int, rows: Rows, operation: Operation) -> int:
    """Write the file of a block; returns the number of items without an answer."""
    parquet = import_module("pyarrow.parquet")
    buffer = io.BytesIO()
    parquet.write_table(as_table(rows, operation), buffer, compression="zstd")
    place.write(block_name(block), buffer.getvalue())
    return len(rows.errors)


def as_table(rows: Rows, operation: Operation) -> Any:
    """The rows as a `pyarrow.Table`."""
    pyarrow = import_module("pyarrow")
    count = len(rows.names)
    columns: dict[str, Any] = {
        "item": pyarrow.array(range(rows.start, rows.start + count), pyarrow.int64()),
        "file": pyarrow.array(rows.names, pyarrow.string()),
        "error": pyarrow.array([rows.errors.get(i) for i in range(count)], pyarrow.string()),
        "warnings": pyarrow.array(
            ["; ".join(rows.warnings.get(i, ())) for i in range(count)], pyarrow.string()
        ),
    }
    shared: dict[str, Any] = {}
    places = np.full(count, -1)
    places[rows.answered] = np.arange(len(rows.answered))
    for name, values in rows.answers.items():
        if values.ndim == 0 or name in operation.shared:
            shared[name] = values.tolist()
        elif name == operation.pictures and not operation.per_item:
            columns["image"] = _pictures(pyarrow, values, rows)
        else:
            columns[name] = _column(pyarrow, values, places)
    table = pyarrow.table(columns)
    return table.replace_schema_metadata({METADATA: json.dumps(shared).encode()})


def _column(pyarrow: Any, values: np.ndarray, places: np.ndarray) -> Any:
    """A field as a column: null without an answer, and where a number is not one."""
    is_number = values.dtype.kind in "biuf"
    gone = places < 0
    taken = (
        values[places] if len(values) else np.zeros((len(places), *values.shape[1:]), values.dtype)
    )
    if values.ndim > 1:
        flat = taken.reshape(len(places), -1)
        cells = pyarrow.array(flat.ravel(), from_pandas=True)
        offsets = np.arange(len(places) + 1) * flat.shape[1]
        return pyarrow.ListArray.from_arrays(
            pyarrow.array(offsets, pyarrow.int32()), cells, mask=pyarrow.array(gone)
        )
    if not is_number:
        return pyarrow.array(
            [None if lost else str(value) for lost, value in zip(gone, taken, strict=True)],
            pyarrow.string(),
        )
    if values.dtype.kind == "f":
        gone = gone | np.isnan(taken)
    return pyarrow.array(taken, mask=gone)


def _pictures(pyarrow: Any, values: np.ndarray, rows: Rows) -> Any:
    """Pictures as Hugging Face's data sets hold them; `vae-lab train` reads them again."""
    cells = [
        {"bytes": to_png(image), "path": f"{rows.start + place:09d}.png"}
        for place, image in zip(rows.answered, to_uint8(values), strict=True)
    ]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    return pyarrow.array(cells, kind)


def write_skipped(place: Place, job: Job) -> int:
    """List the items without an answer in one file, where there are some; returns their number."""
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    compute, csv = import_module("pyarrow.compute"), import_module("pyarrow.csv")
    found = []
    for block in range(job.num_blocks):
        table = parquet.read_table(
            place.join(block_name(block)),
            columns=["item", "file", "error"],
            filesystem=place.system,
        )
        found.append(table.filter(compute.is_valid(table["error"])).replace_schema_metadata())
    skipped = pyarrow.concat_tables(found)
    if len(skipped):
        buffer = io.BytesIO()
        csv.write_csv(skipped, buffer)
        place.write(SKIPPED, buffer.getvalue())
    return len(skipped)


def shared_fields(table: Any) -> Mapping[str, Any]:
    """What all rows of a file share, from its metadata."""
    found: dict[str, Any] = json.loads(table.schema.metadata[METADATA])
    return found
