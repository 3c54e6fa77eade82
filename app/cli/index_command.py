"""The command `vae index`: a folder of pictures becomes a folder of embeddings."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.operation_command import command_help, keyword, with_options
from app.cli.options import ApiKey, ModelRepository, Url, option
from app.cli.request_options import RequestOptions
from app.operations.parameters import EncodeParameters, Labelled, Reading
from app.operations.summaries import INDEX

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = (
    "vae index photos/ -o index/",
    "vae index photos/ more/ -o index/ --model fashion-mnist",
)
READING = [name for kind in (Labelled, Reading) for name in kind.model_fields if name != "check"]
"""Parameters of `encode` that decide what is embedded; an index keeps them for its queries."""


def make_index_command() -> Callable[..., None]:
    """The command line function of `vae index`."""
    fixed = {
        "out": Annotated[
            Path,
            typer.Option("--out", "-o", help="Folder of the index, made or brought up to date."),
        ],
        "model": Annotated[
            str | None, typer.Option("--model", "-m", help="Model by name; absent: the default.")
        ],
        "model_repository": ModelRepository,
        "url": Url,
        "api_key": ApiKey,
    }
    files = Annotated[
        list[str],
        typer.Argument(help="Pictures or arrays: files, folders or globs.", metavar="FILES..."),
    ]
    parameters = [keyword("files", files, inspect.Parameter.empty)]
    parameters += [
        keyword(name, annotation, inspect.Parameter.empty if name == "out" else None)
        for name, annotation in fixed.items()
    ]
    parameters += [
        option(name, field)
        for name, field in RequestOptions.model_fields.items()
        if name != "as_json"
    ]
    parameters += [option(name, EncodeParameters.model_fields[name]) for name in READING]

    def run(**values: Any) -> None:
        import asyncio  # help needs no event loop

        asyncio.run(_index(**values))

    return with_options(run, "index", command_help(INDEX, EXAMPLES), parameters)


async def _index(
    *,
    files: list[str],
    out: Path,
    quiet: bool | None,
    strict: bool | None,
    batch_size: int | None,
    **values: Any,
) -> None:
    """Embed what the index does not hold yet, and write it; what is named no more is left out."""
    import numpy as np

    from app.cli.connection import open_client
    from app.cli.embeddings import ENCODE, embed, model_of
    from app.cli.inputs import find_inputs
    from app.cli.run_operation import as_text, report, warn_of
    from app.cli.sending import all_failed
    from app.cli.terminal import messages, say
    from app.search.folder import make_index, write_index
    from models.files import check_place

    messages.quiet = bool(quiet)
    parameters = {n: as_text(values[n]) for n in READING if values[n] is not None}
    check_place(out, flag="--out", is_folder=True)
    inputs = find_inputs(files, ENCODE.takes, operation="index", output=out)
    if inputs.failed and (strict or not inputs.files):
        raise all_failed(inputs.failed)
    where = [values[n] for n in ("url", "api_key", "model", "version", "model_repository")]
    async with open_client(*where) as client:
        described = await client.describe()
        model = model_of(described)
        kept = _kept(out, model, parameters)
        found = await embed(
            client,
            inputs,
            {**parameters, "check": "false"},
            described,
            strict=bool(strict),
            batch_size=batch_size or RequestOptions().batch_size,
            known=kept,
        )
    warn_of(found.rows)
    by_digest = {**kept, **found.means}
    means = np.stack([by_digest[item.sha256] for item in found.items])
    write_index(out, make_index(model, parameters, Path.cwd(), found.items, means))
    gone = len(kept.keys() - {item.sha256 for item in found.items})
    words = f"{model.name} {model.version}: {len(found.means):,} encoded"
    say(f"{words}, {len(kept) - gone:,} kept, {gone:,} dropped.")
    count = len(found.items)
    report(out, count, inputs.left_out, found.rows.failed, written=count)


def _kept(out: Path, model: Any, parameters: Mapping[str, str]) -> "dict[str, np.ndarray]":
    """What an index holds that is still right: nothing, by another model or other parameters."""
    from app.cli.terminal import say
    from app.search.folder import is_index, read_index
    from models.errors import ConfigError

    if not is_index(out):
        return {}
    try:
        index = read_index(out)
    except ConfigError as error:
        say(f"{str(error).partition(' Make one:')[0]} All is encoded anew.")
        return {}
    own = index.description
    if own.model != model or own.parameters != parameters:
        say(f"{out} was made by another model or with other options. All is encoded anew.")
        return {}
    return {digest: index.means[row] for digest, row in index.rows_by_content().items()}
