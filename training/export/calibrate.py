"""Calibration: a new version of a bundle whose `anomaly` ranks among other good pictures.

The weights stay, so that only seconds are needed; every other file but the version, the scores and
the card's section on alarms is copied.
"""

from pathlib import Path

from rich.console import Console

from models.bundle.good_pictures import GOOD_PICTURES
from models.bundle.loading import load_bundle
from models.bundle.saving import to_json_lines
from models.bundle.schema import CARD
from models.errors import UnsupportedOperation
from training.data.datasets import load
from training.evaluation.good_pictures import can_score, find_good_pictures, pictures_of
from training.export.alarms import with_alarms
from training.export.next_version import write_next_version


def calibrate(
    bundle: Path,
    pictures: str,
    *,
    repository: Path | None = None,
    version: int | None = None,
    data_dir: Path | None = None,
    device: str = "cpu",
    console: Console | None = None,
    with_regret: bool = False,
) -> Path:
    """Score good pictures, and write the bundle with them as its next version.

    Args:
        bundle: The bundle's folder.
        pictures: Good pictures that the model was not trained on: a folder, a file, or a known data
            set, of which the test split is taken.
        repository: Where to write it; the bundle's own repository by default.
        version: Its version; the next free one by default.
        data_dir: Folder of the data sets.
        device: Where to compute.
        console: Shows progress; nowhere by default.
        with_regret: Refine the posterior of each picture, for the likelihood regret; the service
            then does so, too, for every picture that it ranks.

    Returns:
        The new bundle's folder.

    Raises:
        UnsupportedOperation: The model has no encoder or no likelihood.
        InputError: Too few pictures.
        DatasetError: The pictures cannot be read.
        BundleError: The bundle cannot be read.
        FileExistsError: The version exists.
    """
    loaded = load_bundle(bundle)
    config, vae = loaded.config, loaded.vae
    if not can_score(vae):
        raise UnsupportedOperation(
            f"{config.name} cannot be calibrated: anomaly scores need an encoder, a likelihood and "
            "a prior. Choose a variational autoencoder.",
            parameter="bundle",
            received=str(bundle),
        )
    own = config.provenance.dataset_sha256
    dataset = load(pictures, data_dir=data_dir, console=console)
    x, split = pictures_of(dataset, config.image, trained_on=own, console=console)
    good = find_good_pictures(
        vae,
        x,
        config.image,
        dataset=dataset.name,
        split=split,
        device=device,
        console=console,
        with_regret=with_regret,
    )
    card = with_alarms((bundle / CARD).read_text(encoding="utf-8"), good)
    changed = {CARD: card.encode(), GOOD_PICTURES: to_json_lines(good)}
    return write_next_version(bundle, config, changed, repository=repository, version=version)
