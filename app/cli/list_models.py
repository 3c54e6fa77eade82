"""The list of `vae models`: of a folder or a service, as a table or JSON."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from app.cli.connection import local_settings, open_client
from app.cli.terminal import print_whole
from app.operations.summaries import SUMMARIES
from app.serving.catalogue import ListedModel, best_bits_per_dim, list_bundles
from models.errors import printable

_PIPED_WIDTH = 240
"""Columns of a table in a file or a pipe, where no window limits them."""


def print_models(
    model_repository: Path | None, url: str | None, api_key: str | None, *, as_json: bool
) -> None:
    """Print the models of a folder, by their configs, or of a running service."""
    if url is None:
        settings = local_settings(model_repository)
        listed = list_bundles(
            settings.model_repository,
            default_model=settings.default_model,
            load_models=settings.load_models,
        )
    else:
        listed = asyncio.run(_of_service(url, api_key, model_repository))
    if as_json:
        content = orjson.dumps([asdict(one) for one in listed], option=orjson.OPT_INDENT_2)
        print_whole(f"{content.decode()}\n")
        return
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    with console.capture() as printed:
        console.print(_table(listed))
    print_whole(printed.get())


async def _of_service(url: str, api_key: str | None, model_repository: Any) -> list[ListedModel]:
    """The models of a running service, and what each says of itself."""
    listed = []
    async with open_client(url, api_key, None, None, model_repository) as client:
        for entry in await client.models():
            known = ListedModel(**entry)
            if known.status == "ready":
                client.model, client.version = known.name, known.version
                known = describe(entry, await client.describe())
            listed.append(known)
    return listed


def describe(entry: Mapping[str, Any], description: Mapping[str, Any]) -> ListedModel:
    """A model as a list shows it, by its entry in the service's list and its description."""
    image = description["image"]
    return ListedModel(
        **entry,
        width=image["width"],
        height=image["height"],
        colour=image["channels"] == 3,
        latent_shape=description["latent_shape"],
        likelihood=description["likelihood"]["kind"],
        operations=[operation["name"] for operation in description["operations"]],
        bits_per_dim=best_bits_per_dim(description["evaluation"]["estimates"]),
    )


def _table(listed: Sequence[ListedModel]) -> Table:
    table = Table(
        Column("name", overflow="fold"),
        Column("version", justify="right"),
        "pixels",
        "colour",
        Column("latents", justify="right"),
        "likelihood",
        Column("bits/dim", justify="right"),
        "operations",
        "note",
        box=box.SIMPLE,
    )
    for one in listed:
        table.add_row(*(Text(printable(cell)) for cell in _cells(one)))
    return table


def _cells(one: ListedModel) -> tuple[str, ...]:
    notes = ["default"] if one.default else []
    if one.reason is not None:
        notes.append(f"broken: {one.reason}")
    elif one.status not in ("found", "ready"):
        notes.append(one.status)
    colour = "" if one.colour is None else "colour" if one.colour else "grey"
    return (
        one.name,
        str(one.version or ""),
        f"{one.width} x {one.height}" if one.width else "",
        colour,
        " x ".join(map(str, one.latent_shape)),
        (one.likelihood or "").replace("_", " "),
        "" if one.bits_per_dim is None else f"{one.bits_per_dim:.3f}",
        _in_short(one.operations) if one.likelihood else "",
        "; ".join(notes),
    )


def _in_short(operations: Sequence[str]) -> str:
    """Operations by name, or those that are lacking where they are fewer."""
    lacking = [name for name in SUMMARIES if name not in operations]
    if len(lacking) < len(operations):
        return f"all but {', '.join(lacking)}" if lacking else "all"
    return ", ".join(operations)
