"""A search index on disk: `index.json`, and an array of embeddings that it names.

The array is written first, under the name of its content; `index.json` replaces the old one in one
step. A writer that is killed leaves the old index, and at most a file that the next writer removes.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ConfigError, printable
from models.files import explain_os_error, write_whole

DESCRIPTION = "index.json"
_ARRAYS = "embeddings-*.npy"


class Part(BaseModel):
    """A part of an index's description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IndexedModel(Part):
    """The model whose posterior means the embeddings are."""

    name: str
    version: int
    digest: str
    """Of its bundle, which changes with the weights."""


class Item(Part):
    """One picture, or one row of an array."""

    file: str
    """As it was named when it was indexed."""
    sha256: str
    """Of the picture's file, or of the row's bytes."""


class Description(Part):
    """What `index.json` holds."""

    format: Literal[1] = 1
    model: IndexedModel
    parameters: dict[str, str]
    """Parameters of `encode` that all pictures were read with."""
    folder: str
    """The folder that relative names of files begin at."""
    embeddings: Annotated[str, Field(pattern=r"^embeddings-[0-9a-f]{16}\.npy$")]
    items: Annotated[list[Item], Field(min_length=1)]


@dataclass(frozen=True)
class SearchIndex:
    """An index: its description, and a row of numbers for each of its items."""

    description: Description
    means: np.ndarray
    """Posterior means, (N, L), float32."""

    def __len__(self) -> int:
        return len(self.means)

    @property
    def items(self) -> list[Item]:
        """Its pictures, a row of `means` each."""
        return self.description.items

    def place_of(self, item: Item) -> Path:
        """Where the file of an item lay when it was indexed."""
        return Path(self.description.folder) / item.file

    def rows_by_content(self) -> dict[str, int]:
        """The row of each picture by its bytes."""
        return {item.sha256: row for row, item in enumerate(self.items)}


def make_index(
    model: IndexedModel,
    parameters: dict[str, str],
    folder: Path,
    items: Sequence[Item],
    means: np.ndarray,
) -> SearchIndex:
    """An index of pictures that were encoded.

    Args:
        model: The model that encoded them.
        parameters: The parameters that they were encoded with.
        folder: The folder that relative names of files begin at.
        items: The pictures.
        means: Their posterior means, (N, L).
    """
    means = np.asarray(means, np.float32)
    description = Description(
        model=model,
        parameters=parameters,
        folder=str(folder),
        embeddings=_name_of(_content(means)),
        items=list(items),
    )
    return SearchIndex(description, means)


def write_index(path: Path, index: SearchIndex) -> None:
    """Write an index into its folder, in the place of the one that is there.

    Raises:
        OSError: It cannot be written; the old index stays.
    """
    path.mkdir(parents=True, exist_ok=True)
    name = index.description.embeddings
    write_whole(path / name, _content(index.means))
    text = index.description.model_dump_json(indent=1)
    write_whole(path / DESCRIPTION, text.encode())
    for old in path.glob(_ARRAYS):
        if old.name != name:
            old.unlink(missing_ok=True)


def _content(means: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, means, allow_pickle=False)
    return buffer.getvalue()


def _name_of(content: bytes) -> str:
    """The name of an array's file, by its bytes."""
    return f"embeddings-{hashlib.sha256(content).hexdigest()[:16]}.npy"


def is_index(path: Path) -> bool:
    """Whether a folder is an index."""
    return (path / DESCRIPTION).is_file()


def read_index(path: Path) -> SearchIndex:
    """Read an index.

    Raises:
        ConfigError: There is none, or it is damaged; says how to make one.
    """
    shown = printable(str(path))
    again = f"Make one: vae index photos/ -o {shown}."
    if not is_index(path):
        raise _fault(path, f"{shown} is no index: it holds no {DESCRIPTION}. {again}")
    try:
        description = Description.model_validate_json((path / DESCRIPTION).read_bytes())
        content = (path / description.embeddings).read_bytes()
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or DESCRIPTION
        fault = f"{where}: {first['msg']}"
    except OSError as error:
        fault = explain_os_error(error).partition(". ")[0]
    else:
        if description.embeddings == _name_of(content):
            means = np.load(io.BytesIO(content), allow_pickle=False)
            if len(means) == len(description.items):
                return SearchIndex(description, means)
            fault = f"it lists {len(description.items)} pictures, and its array has {len(means)}"
        else:
            fault = f"{description.embeddings} is not the file that was written"
    raise _fault(path, f"The index {shown} is damaged: {fault}. {again}")


def check_same_model(index: SearchIndex, model: IndexedModel, path: Path) -> None:
    """Check that a model embeds as the index's did: it has the same name, version and weights.

    Raises:
        ConfigError: It does not; says what differs.
    """
    own, shown = index.description.model, printable(str(path))
    if model == own:
        return
    mine, other = (f"{one.name} {one.version}" for one in (own, model))
    differs = f"this model is {other}"
    if mine == other:
        differs = (
            f"the weights of {other} have changed since (digest {own.digest[:12]}, now "
            f"{model.digest[:12]})"
        )
    raise _fault(
        path,
        f"{shown} holds latents of {mine}, and {differs}: distances between them say nothing. Make "
        f"it again: vae index photos/ -o {shown} --model {model.name}.",
    )


def _fault(path: Path, message: str) -> ConfigError:
    return ConfigError(message, parameter="--index", received=str(path))
