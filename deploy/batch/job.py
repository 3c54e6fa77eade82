"""A batch: what is asked of which model, for which items, and its manifest beside the results."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from app.operations.table import OPERATIONS, Operation
from deploy.batch.places import Place
from models import __version__
from models.errors import ConfigError, closest

MANIFEST = "_manifest.json"
FORMAT = 1
ALIASES = {"score": "elbo"}
"""Names of operations that a batch has beside the service's."""
NOT_IN_ROWS = ("decode", "interpolate", "reconstruct")
"""Operations whose answer is pictures of other pictures or latents."""


@dataclass(frozen=True)
class Job:
    """Everything that the rows follow from, but the engine and the number of workers."""

    operation: str
    parameters: Mapping[str, str]
    """Of each request, the seed among them; the index of an item's noise is its own."""
    model: str
    version: int
    digest: str
    """Of the bundle's manifest."""
    input: str
    items: str
    """Fingerprint of the items."""
    count: int
    block: int
    """Rows of a file."""

    @property
    def num_blocks(self) -> int:
        """Files of the whole batch."""
        return -(-self.count // self.block)

    def rows(self, block: int) -> tuple[int, int]:
        """First item of a block, and the one after its last."""
        return block * self.block, min(self.count, (block + 1) * self.block)


def batch_operations() -> list[str]:
    """Names of what a batch can do."""
    return [*ALIASES, *(name for name in OPERATIONS if name not in NOT_IN_ROWS)]


def find_operation(name: str) -> Operation:
    """The operation of that name.

    Raises:
        ConfigError: A batch does not do it; says what it does.
    """
    allowed = batch_operations()
    if name in allowed:
        return OPERATIONS[ALIASES.get(name, name)]
    best = closest(name, allowed)
    hint = f" Did you mean {best!r}?" if best else ""
    raise ConfigError(
        f"vae-lab batch does not {name}.{hint} Allowed: {', '.join(allowed)}. Use vae-lab batch "
        f"{best or allowed[0]}.",
        parameter="operation",
        received=name,
        allowed=allowed,
        suggestion=best,
    )


def claim(place: Place, job: Job) -> None:
    """Write the manifest, or check that the folder's own says the same.

    Raises:
        ConfigError: The folder holds the results of another job, or other files.
    """
    names = place.names()
    if MANIFEST not in names:
        if names:
            raise ConfigError(
                f"--out {place.text} holds other files ({sorted(names)[0]}, ...). Name a new "
                f"folder: --out {place.text.rstrip('/')}-2",
                parameter="out",
                received=place.text,
            )
        place.make_folder()
        text = json.dumps({"format": FORMAT, "vae_serve": __version__, **asdict(job)}, indent=2)
        place.write(MANIFEST, f"{text}\n".encode())
        return
    held = read_manifest(place)
    for field in fields(Job):
        old, new = held.get(field.name), asdict(job)[field.name]
        if old != new:
            raise ConfigError(
                f"--out {place.text} holds results of another job: {_WORDS[field.name]} is {new!r} "
                f"here and was {old!r}. Give what was given, or name a new folder: --out "
                f"{place.text.rstrip('/')}-2",
                parameter=field.name,
                received=new,
                allowed=(old,),
            )


def read_manifest(place: Place) -> dict[str, Any]:
    """The manifest of a folder of results.

    Raises:
        ConfigError: It is damaged.
    """
    try:
        held = json.loads(place.read(place.join(MANIFEST)))
    except ValueError as error:
        raise ConfigError(
            f"{place.join(MANIFEST)} is damaged ({error}). Name a new folder.",
            parameter="out",
            received=place.text,
        ) from error
    return dict(held)


_WORDS = {
    "operation": "the operation",
    "parameters": "what is asked for (--set, --seed)",
    "model": "the model",
    "version": "the model's version",
    "digest": "the digest of the model's bundle",
    "input": "the input",
    "items": "the fingerprint of the input's files (names, sizes, times)",
    "count": "the number of items",
    "block": "--block",
}
