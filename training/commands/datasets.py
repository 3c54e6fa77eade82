"""The commands `vae-lab datasets`, `vae-lab datasets show` and `vae-lab datasets cache`."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, no_type_check

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from models.errors import printable
from training.commands.options import DataDir, DatasetPicture, Download, GroupBy
from training.data.catalogue import DATASETS
from training.data.datasets import at_hand, resolve_data_dir

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
@no_type_check  # at run time typer passes another Context than the one it names
def datasets(context: typer.Context, data_dir: DataDir = None) -> None:
    """List the known data sets: shape, splits, licence, and whether their files are there.

    Example: vae-lab datasets
    """
    if context.invoked_subcommand is not None:
        return
    table = Table("name", "shape", "levels", "train/val./test", "licence", "at hand")
    for name, entry in DATASETS.items():
        table.add_row(
            name,
            "x".join(map(str, entry.image_shape)),
            str(entry.levels),
            "/".join(map(str, entry.counts)),
            entry.licence,
            "yes" if at_hand(name, data_dir=data_dir) else "no",
        )
    console = Console()
    console.print(table)
    console.print(f"Folder of the data sets: {resolve_data_dir(data_dir)} (--data-dir).")
    console.print("Fetch one that is not at hand: vae-lab datasets show NAME --download")
    console.print("A path is a data set too: a folder of pictures, .npz, .npy, .tar or .parquet.")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="Name of a data set, or path: a folder, .npz, .npy, .tar or .parquet."),
    ],
    data_dir: DataDir = None,
    group_by: GroupBy = None,
    output: DatasetPicture = None,
    download: Download = False,
) -> None:
    """Write a grid of training images as a PNG, and print the statistics of each split.

    Example: vae-lab datasets show digits
    """
    from training.data import summary
    from training.data.datasets import load
    from training.data.doubts import copies_of_training_images
    from training.data.left_out import SHOWN, write_left_out
    from training.recipes.name import recipe_name

    console = Console()
    dataset = load(name, group_by=group_by, data_dir=data_dir, download=download, console=console)
    folder = Path("runs") / recipe_name(dataset.name)
    is_listed = len(dataset.skipped) > (SHOWN if output else 0)
    if output is None or is_listed:
        folder.mkdir(parents=True, exist_ok=True)
    path = output or folder / "dataset.png"
    path.write_bytes(summary.picture_of_dataset(dataset))
    lines = (
        f"{dataset.name}: {dataset.about}. Licence: {dataset.licence}.",
        summary.sizes_and_modes(dataset),
        summary.class_counts(dataset),
        f"Split: {dataset.split_by}." if dataset.split_by else "",
        "" if dataset.warnings else copies_of_training_images(dataset.splits),
        write_left_out(folder, dataset.skipped) if is_listed else "",
        f"sha256 of the content: {dataset.sha256}",
        f"{min(64, len(dataset.train))} training images: {path}",
    )
    console.print(summary.statistics_table(dataset))
    for line in filter(None, lines):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


@app.command()
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete the cache's files; the next command decodes.")
    ] = False,
) -> None:
    """List what is kept of pictures, so that they are decoded once; or delete it.

    Example: vae-lab datasets cache
    """
    from training.data.disk_cache import FOLDER_VARIABLE, GB, LIMIT_VARIABLE, open_cache

    console, kept = Console(), open_cache()
    entries = kept.entries()
    size = sum(entry.num_bytes for entry in entries)
    if clear:
        kept.clear()
        noun = "file" if len(entries) == 1 else "files"
        typer.echo(f"Deleted {len(entries)} {noun} of {size / 1e6:,.1f} MB in {kept.folder}.")
        return
    numbers = [Column(name, justify="right") for name in ("pictures", "MB", "last used")]
    table = Table(Column("folder or file", overflow="fold"), "holds", *numbers)
    for entry in reversed(entries):
        about = entry.about()
        table.add_row(
            escape(printable(about.get("folder", entry.path.name))),
            about.get("holds", "nothing that can be read"),
            about.get("pictures", ""),
            f"{entry.num_bytes / 1e6:,.1f}",
            f"{timedelta(seconds=int(max(0.0, time.time() - entry.used_at)))} ago",
        )
    if entries:
        console.print(table)
    for line in (
        f"The cache has {size / GB:.2f} of at most {kept.limit / GB:g} GB ({LIMIT_VARIABLE}).",
        f"Its folder is {kept.folder} ({FOLDER_VARIABLE}).",
    ):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
