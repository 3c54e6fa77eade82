"""The commands `vae-lab push` and `vae-lab pull`: bundles on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import can_be_written, within

Endpoint = Annotated[
    str | None,
    typer.Option(help="Address of the Hub; HF_ENDPOINT or the public one otherwise."),
]


def push(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    repo: Annotated[str, typer.Argument(help="Repository, USER/NAME; created where missing.")],
    revision: Annotated[
        str | None, typer.Option(help="Branch to commit to, created where missing.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Create a repository that others cannot read.")
    ] = False,
    endpoint: Endpoint = None,
) -> None:
    """Add a bundle to a repository of the Hugging Face Hub, with a card that the Hub reads.

    The token is HF_TOKEN, or that of `hf auth login`. Needs the extra hub.

    Example: vae-lab push models/pretrained/mnist/1 me/mnist-vae --private
    """
    from training.export.hub import push as push_bundle

    place = push_bundle(bundle, repo, revision=revision, private=private, endpoint=endpoint)
    typer.echo(f"The bundle is {place}.")


def pull(
    repo: Annotated[str, typer.Argument(help="Repository, USER/NAME.")],
    repository: Annotated[
        Path,
        typer.Option(
            "--repository",
            "--model-repository",
            help="Folder of bundles that it is put into, <model>/<version>/.",
            callback=can_be_written("--repository", is_folder=True),
        ),
    ],
    version: Annotated[
        int | None,
        typer.Option(
            callback=within("--version", 1), help="The model's version; the highest otherwise."
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; the main branch otherwise.")
    ] = None,
    endpoint: Endpoint = None,
) -> None:
    """Get a bundle of the Hugging Face Hub, verify it, and put it into a model repository.

    Needs the extra hub.

    Example: vae-lab pull me/mnist-vae --repository my-models
    """
    from training.export.hub import pull as pull_bundle

    path = pull_bundle(
        repo, repository=repository, version=version, revision=revision, endpoint=endpoint
    )
    typer.echo(f"The bundle is {path}.")
