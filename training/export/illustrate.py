"""What a bundle shows of held-out pictures, added to one that was exported without.

Nothing is trained: every other file but the version and a section of the card is copied.
"""

from pathlib import Path

from rich.console import Console

from models.bundle.loading import Bundle, load_bundle
from models.bundle.schema import CARD
from models.errors import UnsupportedOperation
from training.data.datasets import load
from training.evaluation.held_out import HeldOut, held_out_of
from training.evaluation.trained import load_trained_model
from training.export.held_out_files import make_held_out_files
from training.export.next_version import write_next_version


def illustrate(
    bundle: Path,
    pictures: str | None = None,
    *,
    with_examples: bool | None = None,
    repository: Path | None = None,
    version: int | None = None,
    data_dir: Path | None = None,
    console: Console | None = None,
) -> Path:
    """Choose and map held-out pictures, and write the bundle with them as its next version.

    Args:
        bundle: The bundle's folder.
        pictures: Pictures that the model was not trained on: a folder, a file, or a known data set,
            of which the test split is taken; the test split of the bundle's own data by default.
        with_examples: Whether to publish pictures; by default, where their licence allows it.
        repository: Where to write it; the bundle's own repository by default.
        version: Its version; the next free one by default.
        data_dir: Folder of the data sets.
        console: Shows progress; nowhere by default.

    Returns:
        The new bundle's folder.

    Raises:
        UnsupportedOperation: There is nothing to write; says why.
        ConfigError: The bundle's data set has changed.
        DatasetError: The pictures cannot be read.
        BundleError: The bundle cannot be read.
        FileExistsError: The version exists.
    """
    loaded, shown = load_bundle(bundle), console or Console(quiet=True)
    held_out = _held_out(loaded, pictures, data_dir=data_dir, console=console)
    kept = make_held_out_files(
        loaded.vae, loaded.config.image, held_out, with_examples=with_examples
    )
    if not kept.files:
        raise UnsupportedOperation(
            f"There is nothing to add to {loaded.name}. {' '.join(kept.left_out)}",
            parameter="bundle",
            received=str(bundle),
        )
    for reason in kept.left_out:
        shown.print(reason, soft_wrap=True, markup=False, highlight=False)
    card = kept.describe_on((bundle / CARD).read_text(encoding="utf-8"))
    changed = {**kept.files, CARD: card.encode()}
    return write_next_version(
        bundle, loaded.config, changed, repository=repository, version=version
    )


def _held_out(
    loaded: Bundle, pictures: str | None, *, data_dir: Path | None, console: Console | None
) -> HeldOut:
    if pictures is None:
        return load_trained_model(loaded.path, data_dir=data_dir, console=console).held_out
    spec, trained_on = loaded.config.image, loaded.config.provenance.dataset_sha256
    dataset = load(pictures, data_dir=data_dir, console=console)
    return held_out_of(dataset, spec, trained_on=trained_on, console=console)
