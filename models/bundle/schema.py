"""What a bundle's JSON files say: config.json, evaluation.json and manifest.json.

Within a format version fields are only added, each with a default: older bundles go on loading.
docs/bundle-format.md is normative; `bundle.py` reads and writes the files.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from models.config import Config, Name, VAEConfig
from models.images.spec import ImageSpec, check_fit
from models.scores import ScoreKind

FORMAT_VERSION = 1
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=FILE_NAME, max_length=128)]


class Provenance(Config):
    """Where the weights come from: enough to train them again."""

    recipe: str
    """The resolved recipe, TOML."""
    seed: NonNegativeInt
    code_version: str
    dataset: str
    dataset_sha256: Sha256
    """Of the data set's content, as `training/datasets.py` hashes it."""
    created_at: str
    """UTC, ISO 8601."""
    training_seconds: Annotated[float, Field(ge=0)]
    epochs: Annotated[float, Field(ge=0)]
    """Passes over the training set behind the exported weights."""
    hardware: str
    torch_version: str


class BundleConfig(Config):
    """config.json."""

    format_version: Literal[1] = 1
    name: Name
    version: PositiveInt
    vae: VAEConfig
    image: ImageSpec
    labels: tuple[str, ...] = ()
    """Names of the data set's classes, in the order of their indices; empty when it has none."""
    provenance: Provenance

    @model_validator(mode="after")
    def _parts_fit(self) -> "BundleConfig":
        check_fit(self.vae, self.image)
        if self.labels and self.vae.num_labels not in (0, len(self.labels)):
            raise ValueError(
                f"A model with labels has a name for each; received {len(self.labels)} names for "
                f"vae.num_labels = {self.vae.num_labels}. Make them equal."
            )
        return self


class Estimate(Config):
    """One number about the test set, and all that is needed to get it again."""

    estimator: ScoreKind
    num_samples: PositiveInt
    """Draws per image, K."""
    n: PositiveInt
    """Images: all of the split, or a seeded random subset when fewer."""
    seed: NonNegativeInt
    mean_nats: float
    standard_error_nats: float
    """Over images: sd / sqrt(n)."""
    monte_carlo_error_nats: float | None = None
    """Standard error of the mean that comes from the draws alone."""
    bits_per_dim: float | None = None
    """None for a density."""


class Reference(Config):
    """Per-image scores of held-out data, ascending: what percentiles are taken among."""

    estimator: ScoreKind
    num_samples: PositiveInt
    values_nats: tuple[float, ...]

    @model_validator(mode="after")
    def _ascending(self) -> "Reference":
        if list(self.values_nats) != sorted(self.values_nats):
            raise ValueError("Reference values ascend; received them unsorted. Sort them.")
        return self


BaselineKind = Literal["histogram", "png", "png_stacked", "webp", "webp_stacked"]


class Baseline(Config):
    """What a simple means needs for the same images; `training/baselines.py` defines each."""

    kind: BaselineKind
    n: PositiveInt
    """Images: all of the split."""
    bits_per_dim: float
    standard_error_bits_per_dim: float | None = None
    """Over images: sd / sqrt(n); None where files hold many images."""


class Classification(Config):
    """How often the most probable label is an image's own."""

    method: Literal["classifier", "bayes"]
    num_samples: NonNegativeInt
    """Draws for each label; 0 for a classifier."""
    n: PositiveInt
    accuracy: Annotated[float, Field(ge=0, le=1)]
    standard_error: float
    """Over images: of a proportion."""


class Evaluation(Config):
    """evaluation.json: the model on held-out data."""

    dataset: str
    split: str
    num_images: NonNegativeInt
    estimates: tuple[Estimate, ...]
    rate_nats: float | None = None
    distortion_nats: float | None = None
    """Both None where there is no likelihood: of an autoencoder."""
    active_units: NonNegativeInt
    kl_per_dimension_nats: tuple[float, ...] = ()
    """Data mean of each latent dimension's KL, in the latent's C order, where it factorises."""
    kl_per_group_nats: tuple[float, ...] = ()
    """Data mean of the KL of each group of a hierarchy."""
    squared_error: float | None = None
    """Of an autoencoder: data mean of |x - picture|^2, summed over the elements."""
    classification: Classification | None = None
    """Of a model with labels, where the test images have them too."""
    references: tuple[Reference, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    """Empty for a density, which has no bits per dim."""


class ManifestEntry(Config):
    """Checksum and size of one file."""

    sha256: Sha256
    size_bytes: NonNegativeInt


class Manifest(Config):
    """manifest.json: every other file of the folder, by name."""

    format_version: int
    files: dict[FileName, ManifestEntry]


CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PARITY = "parity.safetensors"
EVALUATION = "evaluation.json"
CARD = "README.md"
MANIFEST = "manifest.json"
