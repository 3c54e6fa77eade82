"""The command `vae models`: what each model is and does, of a folder by its configs alone."""

from typing import Annotated

import typer

from app.cli.options import ApiKey, ModelRepository, Url


def models(
    model_repository: ModelRepository = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: a list of models, numbers unrounded.")
    ] = False,
) -> None:
    """List the models: what each is and does, and why one is broken.

    Of a folder it reads the configs, not the weights. Bits per dim are those of held-out images.

    Examples:

        vae models

        vae models --model-repository my-models

        vae models --url http://localhost:8000 --json
    """
    from app.cli.list_models import print_models  # help needs none of what it imports

    print_models(model_repository, url, api_key, as_json=as_json)
