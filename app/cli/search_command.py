"""The command `vae search`: the pictures of an index that are nearest to others."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.operation_command import command_help, keyword, with_options
from app.cli.options import ApiKey, ModelRepository, Url
from app.operations.summaries import SEARCH
from app.search.distances import Distance
from vae_client.errors import CallError

EXAMPLES = (
    "vae search query.jpg --index index/",
    "vae search query.jpg --index index/ --top 20 -o nearest.png",
    "vae search queries/ --index index/ --json",
)
FORMS = (".csv", ".json", ".png")


def make_search_command() -> Callable[..., None]:
    """The command line function of `vae search`."""
    files = Annotated[
        list[str],
        typer.Argument(
            help="Pictures or arrays to search for: files, folders, globs, or - (stdin).",
            metavar="FILES...",
        ),
    ]
    index = Annotated[Path, typer.Option("--index", help="Folder that vae index made.")]
    optional = {
        "out": Annotated[
            Path | None,
            typer.Option(
                "--out",
                "-o",
                help="File to write: .csv, .json, or .png, a grid with a row for each query. "
                "Default: a table on a terminal, CSV elsewhere.",
            ),
        ],
        "top": Annotated[int | None, typer.Option(min=1, help="Neighbours of each. Default: 10.")],
        "distance": Annotated[
            Distance | None,
            typer.Option(
                help="Euclidean between latents, or one minus the cosine of their angle. Default: "
                "euclidean."
            ),
        ],
        "as_json": Annotated[
            bool | None, typer.Option("--json", help="Print JSON on standard output.")
        ],
        "quiet": Annotated[
            bool | None, typer.Option(help="Print no progress or notes, only results and failures.")
        ],
        "model_repository": ModelRepository,
        "url": Url,
        "api_key": ApiKey,
    }
    parameters = [
        keyword("files", files, inspect.Parameter.empty),
        keyword("index", index, inspect.Parameter.empty),
        *(keyword(name, annotation) for name, annotation in optional.items()),
    ]

    def run(**values: Any) -> None:
        import asyncio  # help needs no event loop

        asyncio.run(_search(**values))

    return with_options(run, "search", command_help(SEARCH, EXAMPLES), parameters)


async def _search(
    *,
    files: list[str],
    index: Path,
    out: Path | None,
    top: int | None,
    distance: Distance | None,
    as_json: bool | None,
    quiet: bool | None,
    **values: Any,
) -> None:
    """Embed the queries as the index was, and write what is nearest to each."""
    import numpy as np

    from app.cli.connection import open_client
    from app.cli.embeddings import ENCODE, embed, model_of
    from app.cli.inputs import find_inputs
    from app.cli.request_options import RequestOptions
    from app.cli.run_operation import report, warn_of
    from app.cli.search_results import write_results
    from app.cli.sending import all_failed
    from app.cli.terminal import messages
    from app.search.folder import check_same_model, read_index
    from app.search.neighbours import find_nearest

    messages.quiet = bool(quiet)
    form = _choose_form(out, as_json=bool(as_json))
    found = read_index(index)
    inputs = find_inputs(files, ENCODE.takes, operation="search", output=out)
    if not inputs.files:
        raise all_failed(inputs.failed)
    own = found.description
    where = values["url"], values["api_key"], own.model.name, own.model.version
    async with open_client(*where, values["model_repository"]) as client:
        described = await client.describe()
        check_same_model(found, model_of(described), index)
        parameters = {**own.parameters, "check": "false"}
        batch_size = RequestOptions().batch_size
        queries = await embed(client, inputs, parameters, described, batch_size=batch_size)
    warn_of(queries.rows)
    means = np.stack([queries.means[item.sha256] for item in queries.items])
    names = [item.file for item in queries.items]
    near = find_nearest(found.means, means, top or 10, distance=distance or "euclidean")
    write_results(form, out, found, names, queries.contents, near)
    report(out, len(names), inputs.left_out, queries.rows.failed, written=len(names))


def _choose_form(out: Path | None, *, as_json: bool) -> str:
    """The form of the result: a suffix, or "table".

    Raises:
        CallError: The file's suffix is none that is written.
    """
    from models.files import check_place

    if out is None:
        return ".json" if as_json else "table" if sys.stdout.isatty() else ".csv"
    if out.suffix.lower() not in FORMS or as_json:
        fault = "--json prints on standard output, and" if as_json else "search writes no"
        words = f"{fault} --out {out} is a file." if as_json else f"--out {out}: {fault} such file."
        raise CallError(f"{words} Use --out {out.with_suffix('.json' if as_json else '.csv')}.")
    check_place(out, flag="--out")
    return out.suffix.lower()
