"""Fields of a bundle's JSON files: config.json, evaluation.json and manifest.json.

Within a format version fields are only added, each with a default, so older bundles still load.
docs/bundle-format.md is normative.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from models.config import MAX_VERSION, Config, Name
from models.errors import ConfigError
from models.images.spec import ImageSpec, check_fit
from models.scores.kinds import AnnealingStart, ScoreKind
from models.vae_config import VAEConfig

FORMAT_VERSION = 1
FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=FILE_NAME, max_length=128)]


class Provenance(Config):
    """Origin of the weights: all that is needed to train them again."""

    recipe: str
    """The resolved recipe, TOML."""
    seed: NonNegativeInt
    code_version: str
    dataset: str
    dataset_sha256: Sha256
    """sha256 of the data set's content, as `training.data` computes it."""
    created_at: str
    """UTC, ISO 8601."""
    training_seconds: Annotated[float, Field(ge=0)]
    epochs: Annotated[float, Field(ge=0)]
    """Passes over the training set that the exported weights have seen."""
    hardware: str
    torch_version: str


class LatentScaling(Config):
    """How a diffusion model takes the latents z: (z - shift_factor) * scaling_factor."""

    scaling_factor: PositiveFloat
    shift_factor: float = 0.0


class BundleConfig(Config):
    """A bundle's model and the pictures that it takes, as config.json holds them."""

    format_version: Literal[1] = 1
    name: Name
    version: Annotated[PositiveInt, Field(le=MAX_VERSION)]
    vae: VAEConfig
    image: ImageSpec
    labels: tuple[str, ...] = ()
    """Names of the data set's classes by index; empty if it has none."""
    latent_scaling: LatentScaling | None = None
    """How a diffusion model takes the latents; None where there is none."""
    provenance: Provenance

    @model_validator(mode="after")
    def _parts_fit(self) -> "BundleConfig":
        check_fit(self.vae, self.image)
        if self.labels and self.vae.num_labels not in (0, len(self.labels)):
            raise ConfigError(
                f"labels holds {len(self.labels)} names, but vae.num_labels = "
                f"{self.vae.num_labels}. Give one name for each label.",
                parameter="labels",
            )
        return self


class Difference(Config):
    """How L_K of all images is estimated: mean of L_k, plus mean of L_K - L_k over a subset."""

    num_samples: PositiveInt
    """k, the draws of every image."""
    n: PositiveInt
    """Images of the seeded random subset, which have K draws too."""


class Estimate(Config):
    """A score of the test set, and all that is needed to compute it again."""

    estimator: ScoreKind
    num_samples: PositiveInt
    """Draws per image, K."""
    n: PositiveInt
    """Images: the whole split, or a seeded random subset of it."""
    seed: NonNegativeInt
    mean_nats: float
    standard_error_nats: float
    """Over images: sd / sqrt(n)."""
    monte_carlo_error_nats: float | None = None
    """The part of the mean's standard error that comes from the draws."""
    bits_per_dim: float | None = None
    """None for a density, which has no bits per dim."""
    difference: Difference | None = None
    """None where each of the n images has num_samples draws."""


class Reference(Config):
    """Scores of single held-out images, ascending: percentiles are computed among them."""

    estimator: ScoreKind
    num_samples: PositiveInt
    values_nats: tuple[float, ...]
    positions: tuple[NonNegativeInt, ...] = ()
    """Place of each value's image among those scored, so that models can be compared image by
    image; empty in older bundles."""

    @model_validator(mode="after")
    def _ascending(self) -> "Reference":
        if list(self.values_nats) != sorted(self.values_nats):
            raise ConfigError("values_nats is not ascending. Sort it.", parameter="values_nats")
        places, scores = len(set(self.positions)), len(self.values_nats)
        if self.positions and not len(self.positions) == places == scores:
            raise ConfigError(
                f"positions holds {len(self.positions)} places, {places} of them different, but "
                f"values_nats {scores} scores. Give each score the place of its own image.",
                parameter="positions",
            )
        return self


BaselineKind = Literal["histogram", "png", "png_stacked", "webp", "webp_stacked"]


class Baseline(Config):
    """Bits per dim of a simple model or file format for the same images."""

    kind: BaselineKind
    n: PositiveInt
    """Images: the whole split."""
    bits_per_dim: float
    standard_error_bits_per_dim: float | None = None
    """Over images: sd / sqrt(n); None where one file holds many images."""


class Classification(Config):
    """Accuracy: how often the most probable label is the true one."""

    method: Literal["classifier", "bayes"]
    num_samples: NonNegativeInt
    """Draws for each label, K; 0 for a classifier."""
    n: PositiveInt
    accuracy: Annotated[float, Field(ge=0, le=1)]
    standard_error: float
    """Over images: sqrt(accuracy (1 - accuracy) / n)."""


class Reconstruction(Config):
    """How close reconstructions of held-out images come: the model's, or those of a PCA."""

    kind: Literal["model", "pca"]
    num_components: PositiveInt | None = None
    """Of the PCA: as many as the model has latents, where the training images allow it."""
    num_train: PositiveInt | None = None
    """Training images that the PCA was fitted to."""
    n: PositiveInt
    mean_squared_error: Annotated[float, Field(ge=0)]
    """Mean over pixels, channels and images, on the scale 0..1."""
    standard_error: float
    """Over images: sd / sqrt(n) of their squared errors."""
    ssim: float
    """Data mean of the structural similarity."""
    standard_error_ssim: float


EmbeddingKind = Literal["posterior_mean", "pca", "pixels"]


class Embedding(Config):
    """How well simple classifiers of some features find the labels of held-out images."""

    kind: EmbeddingKind
    num_features: PositiveInt
    num_train: PositiveInt
    """Training images, a seeded random subset, that the classifiers were fitted to."""
    n: PositiveInt
    linear_accuracy: Annotated[float, Field(ge=0, le=1)]
    """Of logistic regression of the standardised features."""
    neighbours_accuracy: Annotated[float, Field(ge=0, le=1)]
    """Of the 5 nearest neighbours."""


class Paired(Config):
    """The same images by importance sampling from proposals fitted to each, for comparison."""

    num_samples: PositiveInt
    mean_nats: float
    standard_error_nats: float
    """Over images."""
    monte_carlo_error_nats: float
    difference_nats: float
    """Mean of annealed minus refined estimates."""
    difference_error_nats: float
    """Over images."""


class Annealed(Config):
    """log p(x) of held-out images by annealed importance sampling, and how it was done."""

    start: AnnealingStart
    num_steps: PositiveInt
    num_chains: PositiveInt
    num_leapfrog: PositiveInt
    """Leapfrog steps of each move."""
    n: PositiveInt
    """Images, a seeded random subset."""
    seed: NonNegativeInt
    given_labels: bool = False
    """Whether the estimate is of log p(x|y) with the images' own labels."""
    mean_nats: float
    standard_error_nats: float
    """Over images: sd / sqrt(n)."""
    monte_carlo_error_nats: float
    """The part of it that comes from the chains."""
    bits_per_dim: float | None = None
    effective_sample_size: float
    """Of the chains' weights, data mean."""
    acceptance_rate: float
    """Share of moves that were accepted."""
    refined: Paired | None = None
    """The same images by draws from proposals fitted to each."""


class Bidirectional(Config):
    """Bounds on log p(x) from both sides, of images that the model has made."""

    start: AnnealingStart
    num_steps: PositiveInt
    num_chains: PositiveInt
    num_leapfrog: PositiveInt
    n: PositiveInt
    """Images that were simulated."""
    seed: NonNegativeInt
    lower_nats: float
    """Data mean of the annealed estimate: in expectation a lower bound."""
    upper_nats: float
    """Data mean of the estimate by the way back from exact draws of p(z|x): an upper bound."""
    gap_nats: float
    """Upper minus lower."""
    gap_error_nats: float
    """Over images: sd / sqrt(n) of their gaps."""
    acceptance_rate: float
    """Of the moves in both directions."""


class Evaluation(Config):
    """evaluation.json: scores of held-out data."""

    dataset: str
    split: str
    num_images: NonNegativeInt
    estimates: tuple[Estimate, ...]
    rate_nats: float | None = None
    distortion_nats: float | None = None
    """Rate and distortion are None for an autoencoder, which has no likelihood."""
    active_units: NonNegativeInt
    kl_per_dimension_nats: tuple[float, ...] = ()
    """Data mean of each latent dimension's KL, in C order, where prior and posterior factorise."""
    kl_per_group_nats: tuple[float, ...] = ()
    """Data mean of the KL of each group of a hierarchy."""
    squared_error: float | None = None
    """For an autoencoder: data mean of |x - reconstruction|^2, summed over the elements."""
    classification: Classification | None = None
    """For a model with labels, where the test images have labels too."""
    references: tuple[Reference, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    """Empty for a density."""
    reconstructions: tuple[Reconstruction, ...] = ()
    """The model's, then those of a PCA."""
    embeddings: tuple[Embedding, ...] = ()
    """Where the training and the held-out images have labels."""
    annealed: Annealed | None = None
    bidirectional: Bidirectional | None = None
    """Both where they are asked for."""


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
