"""The data sets known by name: their files, publishers and content.

A new set is one function in `standard_splits.py` that reads it, and one entry in `DATASETS`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pooch

from training.data.standard_splits import (
    IDX_FILES,
    Splits,
    split_bccd,
    split_cifar10,
    split_cifar10_sample,
    split_digits,
    split_frey_faces,
    split_idx,
    split_medmnist,
    split_omniglot,
    split_static_amat,
    split_static_npz,
)
from training.errors import DatasetError


@dataclass(frozen=True)
class Source:
    """Files that together hold a data set."""

    folder: str
    """Below the folder of data sets; the files may lie directly in that one, too."""
    files: tuple[str, ...]
    """Names without `.gz`: each may be gzipped or not."""
    read: Callable[[Sequence[Path]], Splits]
    url: str = ""
    """Downloads are `<url><file>.gz`; empty when no lasting place is known."""
    md5: tuple[str, ...] = ()
    """Published digests of the downloads, one per file."""

    def find(self, data_dir: Path) -> list[Path] | None:
        """The files' paths, or None when one is missing."""
        for found in self._candidates(data_dir):
            paths = [path for path in found.values() if path is not None]
            if len(paths) == len(self.files):
                return paths
        return None

    def missing(self, data_dir: Path) -> list[str]:
        """Names of the files that are missing in the fuller one of the two folders."""
        absent = [
            [name for name, path in found.items() if path is None]
            for found in self._candidates(data_dir)
        ]
        return min(absent, key=len)

    def _candidates(self, data_dir: Path) -> Iterator[dict[str, Path | None]]:
        """Each file's path, in the source's folder and then in that of all data sets."""
        for folder in (data_dir / self.folder, data_dir):
            yield {name: _plain_or_gzipped(folder / name) for name in self.files}

    def download(self, data_dir: Path) -> list[Path]:
        """Fetch every file into the source's folder, and check its published digest.

        Raises:
            DatasetError: The publisher cannot be reached, or sends other content.
        """
        try:
            return [
                Path(
                    pooch.retrieve(
                        f"{self.url}{name}.gz",
                        known_hash=f"md5:{md5}",
                        fname=f"{name}.gz",
                        path=data_dir / self.folder,
                    )
                )
                for name, md5 in zip(self.files, self.md5, strict=True)
            ]
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"Cannot download from {self.url}: {error}. Put {', '.join(self.files)} into "
                f"{data_dir / self.folder} by hand, or try again later."
            ) from error


@dataclass(frozen=True)
class Entry:
    """A data set's properties, known without reading it, and its sources."""

    about: str
    licence: str
    image_shape: tuple[int, int, int]
    counts: tuple[int, int, int]
    """Images in train, validation and test."""
    sources: tuple[Source, ...]
    """Any one of them is enough; one without files needs nothing on disk."""
    levels: int = 256
    sha256: str | None = None
    """`Dataset.sha256`, the same from every source."""
    class_names: tuple[str, ...] = ()
    pictures_licence: str = ""
    """Licence of its pictures where the source states none, and who states it."""

    @property
    def republished_under(self) -> str:
        """Licence under which single pictures may be published again; empty where none is known."""
        return self.licence if self.licence in _OPEN else self.pictures_licence

    def find(self, data_dir: Path) -> tuple[Source, list[Path]] | None:
        """The first source that is complete, with its paths."""
        for source in self.sources:
            paths = source.find(data_dir)
            if paths is not None:
                return source, paths
        return None


_OPEN = ("MIT", "CC BY 4.0", "CC BY-SA 4.0")
"""Licences that let pictures be published again, with their source."""
_OF_MNIST = (
    "CC BY-SA 3.0, (c) Yann LeCun and Corinna Cortes, as the documentation of Keras states it "
    "(keras.io/api/datasets/mnist); the source states none"
)


def _plain_or_gzipped(path: Path) -> Path | None:
    candidates = (path, path.with_name(f"{path.name}.gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _mnist_like(
    about: str,
    *,
    licence: str,
    folder: str,
    url: str,
    md5: str,
    class_names: tuple[str, ...],
    sha256: str | None = None,
    pictures_licence: str = "",
) -> Entry:
    """MNIST, or a set in its four IDX files; `md5` has their digests, one after the other."""
    return Entry(
        about=about,
        licence=licence,
        image_shape=(1, 28, 28),
        counts=(55_000, 5_000, 10_000),
        sources=(Source(folder, IDX_FILES, split_idx, url=url, md5=tuple(md5.split())),),
        sha256=sha256,
        class_names=class_names,
        pictures_licence=pictures_licence,
    )


_DIGIT_NAMES = tuple("0123456789")
_CIFAR_NAMES = tuple(
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
)

DATASETS: dict[str, Entry] = {
    "digits": Entry(
        about="handwritten digits of the UCI repository, part of scikit-learn",
        licence="CC BY 4.0",
        image_shape=(1, 8, 8),
        counts=(1_197, 300, 300),
        levels=17,
        sha256="d522fc1a067b55ad4efa73a86136c7f6a9c2899993f36f7a41a2e61e74b95631",
        sources=(Source("", (), split_digits),),
        class_names=_DIGIT_NAMES,
    ),
    "mnist-static": Entry(
        about="handwritten digits, the fixed binarisation of Larochelle and Murray (2011)",
        licence="none stated",
        pictures_licence=_OF_MNIST,
        image_shape=(1, 28, 28),
        counts=(50_000, 10_000, 10_000),
        levels=2,
        sha256="d02ebecf4feece8eba9f2606c233a3e9ebacf0f4dffd760c05df8f7c7f6df89e",
        sources=(
            Source("static_binarized_mnist", ("binarized_mnist.npz",), split_static_npz),
            Source(
                "static_binarized_mnist",
                tuple(f"binarized_mnist_{split}.amat" for split in ("train", "valid", "test")),
                split_static_amat,
            ),
        ),
    ),
    "mnist": _mnist_like(
        "handwritten digits, grey (LeCun et al. 1998)",
        licence="none stated",
        pictures_licence=_OF_MNIST,
        folder="mnist",
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        md5="f68b3c2dcbeaaa9fbdd348bbdeb94873 d53e105ee54ea40749a09fcbcd1e9432 "
        "9fb629c4189551a2d022fa330f9573f3 ec29112dd5afa0611ce80d1b7f02629c",
        sha256="f4034bead488e20f3e921340d4436a956facf939ab5a22d311c16da7525c08d3",
        class_names=_DIGIT_NAMES,
    ),
    "fashion-mnist": _mnist_like(
        "photographs of clothes, grey (Xiao et al. 2017, arXiv:1708.07747)",
        licence="MIT",
        folder="fashion_mnist",
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        md5="8d4fb7e6c68d591d4c3dfef9ec88bf0d 25c81989df183df01b3e8a0aad5dffbe "
        "bef4ecab320f06d8554ea6380940ec79 bb300cfdad3c16e7a12a480ee83cd310",
        sha256="2ce4547834779f1d7858a494935740219223f39d592ad4ee33cd0847438e697d",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "omniglot": Entry(
        about="part of the characters of 30 alphabets, white on black (Lake et al. 2015)",
        licence="MIT",
        image_shape=(1, 32, 32),
        counts=(13_099, 1_433, 1_461),
        sha256="5151bae786130329d171e8fb366071fb3906e4e794295abf3414421a1a7dd273",
        sources=(Source("omniglot", ("omniglot_background_32x32_15993.npz",), split_omniglot),),
    ),
    "kmnist": _mnist_like(
        "cursive Japanese characters, grey (Clanuwat et al. 2018, arXiv:1812.01718)",
        licence="CC BY-SA 4.0",
        folder="kmnist",
        url="http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        md5="bdb82020997e1d708af4cf47b453dcf7 e144d726b3acfaa3e44228e80efcd344 "
        "5c965bf0a639b31b8f53240b1b52f4d7 7320c461ea6c1c855c0b718fb2a4b134",
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "cifar10": Entry(
        about="small photographs of ten kinds of things (Krizhevsky 2009)",
        licence="none stated",
        image_shape=(3, 32, 32),
        counts=(45_000, 5_000, 10_000),
        sources=(
            Source(
                "cifar10",
                ("cifar-10-binary.tar",),
                split_cifar10,
                url="https://www.cs.toronto.edu/~kriz/",
                md5=("c32a1d4ab5d03f1284b67883e8d87530",),
            ),
        ),
        class_names=_CIFAR_NAMES,
    ),
    "cifar10-5000": Entry(
        about="the first 4,000 training and 1,000 test images of CIFAR-10, lossless",
        licence="none stated",
        image_shape=(3, 32, 32),
        counts=(3_500, 500, 1_000),
        sha256="a8ddd33aeda5a3766e6216dcdbffe2e90503db31eeb0bd7d2942fb5da40364dd",
        sources=(Source("cifar10", ("cifar10_lossless_5000.npz",), split_cifar10_sample),),
        class_names=_CIFAR_NAMES,
    ),
    "bccd": Entry(
        about="blood cells cropped from the photographs of BCCD, colour",
        licence="MIT",
        image_shape=(3, 32, 32),
        counts=(2_804, 1_137, 945),
        sha256="cb8d07c7a3dbc1a9c5261bd49f45641191a34a35a784fdb80fd3b5b11b86812b",
        sources=(Source("bccd", ("bccd_cells_32x32.npz",), split_bccd),),
        class_names=("red", "white", "platelet"),
    ),
    "frey-faces": Entry(
        about="one face in the frames of a video, grey (Roweis and Saul 2000)",
        licence="none stated",
        image_shape=(1, 28, 20),
        counts=(1_565, 200, 200),
        sha256="25e7ee5dafc36653fdf076358e66e03113470ba83b53b888d5c9679f8b43670d",
        sources=(Source("frey_faces", ("frey_faces.npz",), split_frey_faces),),
    ),
    "pneumoniamnist": Entry(
        about="chest X-rays of children, grey (Yang et al. 2023, MedMNIST v2)",
        licence="CC BY 4.0",
        image_shape=(1, 28, 28),
        counts=(4_708, 524, 624),
        sha256="9ddf8d9e2c7a94f4833b3bf9a9edf35d73551de0091c32849380f825ebf7ee0d",
        sources=(Source("pneumoniamnist", ("pneumoniamnist.npz",), split_medmnist),),
        class_names=("normal", "pneumonia"),
    ),
}
