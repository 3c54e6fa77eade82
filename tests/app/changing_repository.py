"""A repository whose bundles change: small bundles that differ by their weights."""

import shutil
from pathlib import Path

from models.images.spec import ImageSpec
from tests.app.repository import SIDE, binary_vae, write_bundle

IMAGE = ImageSpec(channels=1, height=SIDE, width=SIDE, levels=2, binarization="stochastic")


def put(repository: Path, name: str, version: int, *, seed: int = 0) -> Path:
    """Put a whole bundle into the repository at once, in place of what is there."""
    aside = repository / ".new"
    write_bundle(aside, name, version, binary_vae(seed), IMAGE)
    path = repository / name / str(version)
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.rename(aside / "old")
    (aside / name / str(version)).rename(path)
    shutil.rmtree(aside)
    return path


def put_broken(repository: Path, name: str, version: int) -> Path:
    """Put a bundle with damaged weights into the repository."""
    path = put(repository, name, version)
    (path / "model.safetensors").write_bytes(b"damaged")
    return path
