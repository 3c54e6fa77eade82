"""The recipe: everything that says how a model is trained; `recipe_file.py` reads and writes it.

`docs/recipes.md` is made of the docstrings here and in the configs that these name.
"""

from math import prod
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from models.config import Config, Name, VAEConfig
from models.images.spec import ImageSpec, check_fit
from models.noise import MAX_SEED
from training.recipes.objective import ClassicalKind, ELBOConfig, ObjectiveConfig

Fraction = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["32-true", "bf16-mixed", "64-true"]


class DatasetConfig(Config):
    """What is trained on."""

    name: str
    """One of `vae-lab datasets`, or the path of a folder of pictures, `.npz` or `.npy`."""
    labels_per_class: NonNegativeInt = 0
    """Training labels that are known of each class, chosen by the seed; 0 for all."""


class OptimizerConfig(Config):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    learning_rate: PositiveFloat = 1e-3
    """The schedule's peak."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decay per step of the gradient's two running moments."""
    weight_decay: NonNegativeFloat = 0.0
    """On matrices and kernels; biases are not decayed."""
    gradient_clip: PositiveFloat = 200.0
    """Largest norm of the whole gradient, in nats per datum."""


class ScheduleConfig(Config):
    """The learning rate over the run: a linear warm-up, then constant or half a cosine to zero."""

    kind: Literal["constant", "cosine"] = "cosine"
    warmup: Fraction = 0.05
    """Part of the run's steps."""


class AugmentationConfig(Config):
    """Random flips, crops and affine maps of the training images; levels stay levels."""

    flip: Literal["none", "horizontal", "both"] = "none"
    """Mirror every second image along that axis, or along each, for data whose law knows no side:
    to the run's end."""
    probability: Fraction = 0.0
    """Chance at the start of the run that an image is moved; it falls linearly to 0."""
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of the run where it reaches 0, so that the data's own law is fitted last."""
    crop_pixels: NonNegativeInt = 0
    """A moved image is framed by that many mirrored pixels on each side, and cut out of this at a
    random place: a shift by up to as many whole pixels."""
    rotation_degrees: NonNegativeFloat = 0.0
    """Standard deviation of a turn about the centre."""
    shift_pixels: NonNegativeFloat = 0.0
    """Standard deviation of a shift along each axis."""
    scale: NonNegativeFloat = 0.0
    """Standard deviation of the growth along each axis, a factor less 1."""
    shear: NonNegativeFloat = 0.0
    """Standard deviation of the shift, per pixel of height, of a row to the side."""

    @model_validator(mode="after")
    def _moves_are_made(self) -> "AugmentationConfig":
        moves = ("crop_pixels", "rotation_degrees", "shift_pixels", "scale", "shear")
        asked = [f"{name} = {getattr(self, name)}" for name in moves if getattr(self, name) > 0]
        if asked and self.probability == 0:
            raise ValueError(
                f"A move is made with a probability; received {', '.join(asked)} with "
                "augmentation.probability = 0. Set it, to 1 for all images."
            )
        return self


class TrainingConfig(Config):
    """The loop's own quantities."""

    epochs: PositiveInt
    """Passes over the training images."""
    batch_size: PositiveInt = 128
    """Images per step."""
    kl_warmup_epochs: NonNegativeFloat = 0.0
    """The KL's weight rises linearly from 0 to 1 over these epochs (Bowman et al. 2016)."""
    kl_cycles: PositiveInt = 1
    """The warm-up begins anew in each of so many equal parts of the run (Fu et al. 2019)."""
    ema_decay: Fraction = 0.999
    """Decay per step of the averaged weights, which are validated and exported; 0 keeps none."""
    validate_every_epochs: PositiveInt = 1
    """Between two validations, checkpoints and lines of the log."""
    patience: NonNegativeInt = 0
    """Validations in a row without a better bound after which the run is over; 0 for never."""
    max_skipped_in_a_row: PositiveInt = 100
    """Steps whose gradient is not finite are skipped; so many in a row end the run."""
    checkpoint_seconds: PositiveFloat = 60.0
    """A checkpoint is written at every validation, and when this time has passed."""
    start_from_marginal: bool = False
    """Whether the decoder's last biases, and a learned scale, are fitted to the pixels' own
    distribution before the first step: the run then starts from that, not from noise."""
    precision: Precision = "32-true"
    """Of training alone: evaluation and serving use float32."""


class Recipe(Config):
    """Everything that decides what is trained, and how."""

    name: Name
    """Of the run's folder and of the model."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    """Of everything random in the run."""
    start: Name | None = None
    """A finished run in the folder beside this one, whose best weights this one goes on from."""
    dataset: DatasetConfig
    """What is trained on."""
    image: ImageSpec
    """What a picture becomes."""
    vae: VAEConfig
    """The model."""
    objective: ObjectiveConfig = ELBOConfig()
    """What is maximised."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How a step changes the weights."""
    schedule: ScheduleConfig = ScheduleConfig()
    """The learning rate over the run."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How training images are moved."""
    training: TrainingConfig
    """The loop."""

    @model_validator(mode="before")
    @classmethod
    def _classical_has_no_epochs(cls, values: Any) -> Any:
        """A model that is fitted at once needs no `training`."""
        objective = values.get("objective") if isinstance(values, dict) else None
        if isinstance(objective, dict) and objective.get("kind") in get_args(ClassicalKind):
            return {"training": {"epochs": 1}, **values}
        return values

    @model_validator(mode="before")
    @classmethod
    def _shape_from_image(cls, values: Any) -> Any:
        """`vae.image_shape` need not be repeated in the file."""
        if not isinstance(values, dict) or not isinstance(values.get("vae"), dict):
            return values
        image = values.get("image")
        if isinstance(image, dict) and "image_shape" not in values["vae"]:
            shape = [image.get(key) for key in ("channels", "height", "width")]
            return {**values, "vae": {**values["vae"], "image_shape": shape}}
        return values

    @model_validator(mode="after")
    def _parts_fit(self) -> "Recipe":
        check_fit(self.vae, self.image)
        for holds, invariant, remedy in _refusals(self):
            if not holds:
                raise ValueError(
                    f"{invariant}; received objective {self.objective.model_dump()} for prior "
                    f"{self.vae.prior.kind}, posterior {self.vae.posterior.kind}, num_labels "
                    f"{self.vae.num_labels}. {remedy}"
                )
        return self


def _refusals(r: Recipe) -> list[tuple[bool, str, str]]:
    """What must hold of objective and model together, in words, and what to do if it does not."""
    vae, objective, training = r.vae, r.objective, r.training
    kind, posterior = objective.kind, vae.posterior.kind
    plain = getattr(objective, "gradient", "plain") == "plain"
    anneals = kind in ("elbo", "m2") or (kind == "iwae" and plain)
    linear = all(
        network is None or (network.kind == "mlp" and not network.hidden)
        for network in (vae.encoder, vae.decoder)
    )
    scale = vae.likelihood.scale if vae.likelihood.kind == "normal" else ""
    sides = (r.image.height, r.image.width)
    return [
        (
            r.augmentation.crop_pixels < min(sides),
            "A random crop mirrors fewer pixels than the image has on a side; received "
            f"augmentation.crop_pixels = {r.augmentation.crop_pixels} for {sides[1]}x{sides[0]}",
            "Take fewer.",
        ),
        (
            anneals or (training.kl_warmup_epochs == 0 and training.kl_cycles == 1),
            "A warm-up is of the KL in an ELBO, or in the weights of iwae with its plain gradient",
            "Set training.kl_warmup_epochs = 0 and training.kl_cycles = 1.",
        ),
        (
            training.kl_cycles == 1
            or 0 < training.kl_warmup_epochs <= training.epochs / training.kl_cycles,
            "A cycle repeats the KL's warm-up, and is at least as long",
            "Set training.kl_warmup_epochs, to training.epochs / training.kl_cycles at most.",
        ),
        (
            kind != "iwae" or plain or posterior in ("diagonal_normal", "full_normal"),
            "The gradients stl and dreg need a posterior of one layer",
            "Set objective.gradient = 'plain'.",
        ),
        (
            posterior != "bottom_up" or getattr(objective, "free_bits_nats", 0.0) == 0,
            "Free bits are of KLs, which may not be negative; a bottom_up posterior has none for "
            "its groups",
            "Set objective.free_bits_nats = 0, or take a ladder.",
        ),
        (
            getattr(objective, "baseline", "none") == "none" or objective.num_samples > 1,
            "A baseline of the other draws needs others",
            "Set objective.num_samples = 2 or more, or objective.baseline = 'none'.",
        ),
        (
            (kind == "m2") == (vae.classifier is not None),
            "A classifier learns by the objective m2, which needs one",
            "Change vae.classifier or objective.kind.",
        ),
        (
            kind == "m2" or r.dataset.labels_per_class == 0,
            "Only m2 learns where labels are missing",
            "Set dataset.labels_per_class = 0, or objective.kind = 'm2'.",
        ),
        (
            kind not in ("ppca", "pca") or prod(vae.latent_shape) < vae.num_dimensions,
            "Principal components are fewer than pixels",
            "Set vae.latent_shape lower.",
        ),
        (
            (kind in ("autoencoder", "pca")) == (posterior == "point"),
            "An autoencoder is trained by the objective autoencoder, or fitted as pca",
            "Change objective.kind or vae.posterior.",
        ),
        (
            (kind == "gaussian_mixture") == (posterior == "enumerated"),
            "A categorical latent is fitted as gaussian_mixture",
            "Change objective.kind or vae.posterior.",
        ),
        (
            not training.start_from_marginal
            or kind not in ("autoencoder", *get_args(ClassicalKind)),
            "Training starts from the marginal of a likelihood that is trained step by step",
            "Set training.start_from_marginal = false.",
        ),
        (
            kind not in get_args(ClassicalKind) or linear,
            "A classical model has networks without hidden layers",
            "Set hidden = [] in vae.encoder and vae.decoder.",
        ),
        (
            kind != "gaussian_mixture" or scale == "per_pixel",
            "A mixture of normals has a normal likelihood with a scale per pixel",
            "Set vae.likelihood = { kind = 'normal', scale = 'per_pixel' }.",
        ),
        (
            kind != "ppca"
            or (scale, posterior, vae.prior.kind, vae.num_labels)
            == ("learned", "diagonal_normal", "standard_normal", 0),
            "Probabilistic PCA has a normal likelihood with one learned scale, a standard normal "
            "prior, a diagonal posterior and no labels",
            "Set them so.",
        ),
    ]
