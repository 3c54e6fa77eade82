"""The words of `vae serve` on a terminal: address, models, documentation, how to stop."""

from rich.table import Table
from rich.text import Text

from app.cli.terminal import messages
from app.serving.registry import Registry
from app.serving.served_model import ServedModel
from models.errors import printable


def welcome(url: str, registry: Registry | None, *, docs: bool) -> None:
    """Print what a person does next.

    Args:
        url: The server's address.
        registry: The models; None where each worker has loaded its own.
        docs: Whether the documentation pages are served.
    """
    messages.print(Text.assemble("vae-serve listens on ", (url, "bold")), soft_wrap=True)
    if registry is not None and registry.models:
        messages.print(_models(registry))
        for broken in registry.broken:
            _print_red(f"{broken.name} is broken: {broken.reason}")
    elif registry is not None:
        _print_red(registry.why_not_served or "")
    if docs:
        messages.print(f"API: {url}/docs", soft_wrap=True, highlight=False)
    messages.print("Stop: Ctrl-C", highlight=False)


def _print_red(text: str) -> None:
    messages.print(Text(printable(text), "red"), soft_wrap=True)


def _models(registry: Registry) -> Table:
    table = Table("model", "version", "pictures", "")
    for name, versions in sorted(registry.models.items()):
        for version, served in sorted(versions.items()):
            note = "default" if name == registry.default_name and version == max(versions) else ""
            cells = (name, str(version), _pictures(served), note)
            table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _pictures(served: ServedModel) -> str:
    image = served.bundle.config.image
    return f"{image.width} x {image.height} {'colour' if image.channels == 3 else 'grey'}"
