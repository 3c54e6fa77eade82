"""The entries of a recipe that set up its loop: optimizer, schedule, augmentation, training."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from models.config import Config
from models.errors import ConfigError

Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Epochs = Annotated[int, Field(ge=1, le=1_000_000)]
Precision = Literal["32-true", "bf16-mixed", "64-true"]
Kept = Literal["bound", "label_accuracy"]


class OptimizerConfig(Config):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    learning_rate: PositiveFloat = 1e-3
    """Highest learning rate of the schedule."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay per step of the gradient's two running moments."""
    eps: PositiveFloat = 1e-8
    """Number added to the root of the second moment: a gradient far below it moves less."""
    weight_decay: NonNegativeFloat = 0.0
    """Decay of matrices and kernels; biases are not decayed."""
    gradient_clip: Annotated[float, Field(ge=1e-6)] = 200.0  # AdamW's epsilon hides smaller ones
    """Largest norm of the whole gradient, in nats per image; a larger one is scaled down to it."""


class ScheduleConfig(Config):
    """The learning rate over the run: a linear warm-up, then constant, half a cosine to zero, or
    eight stages.

    Stages are those of Burda et al. 2016 (arXiv:1509.00519, section 5): stage i = 0..7 lasts 3^i
    parts of 3,280 and has 10^(-i/7) of the rate, so that the last two thirds have a tenth of it.
    """

    kind: Literal["constant", "cosine", "stages"] = "cosine"
    warmup: Fraction = 0.05
    """Share of the run's steps over which the rate rises from 0."""


class AugmentationConfig(Config):
    """Random flips, crops and affine maps of the training images; levels stay levels."""

    flip: Literal["none", "horizontal", "both"] = "none"
    """Mirror every second image left to right, or also upside down, for data without a side. Flips
    go on to the end of the run."""
    probability: Fraction = 0.0
    """Chance at the start of the run that an image is moved; it falls linearly to 0."""
    until: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the run after which no image is moved, so that the last steps see the data
    unchanged."""
    crop_pixels: NonNegativeInt = 0
    """Largest random shift along each axis, in whole pixels; the gap is filled with mirrored
    pixels."""
    rotation_degrees: Annotated[float, Field(ge=0, le=360)] = 0.0
    """Standard deviation of a rotation about the centre."""
    shift_pixels: Annotated[float, Field(ge=0, le=4096)] = 0.0
    """Standard deviation of a shift along each axis."""
    scale: Fraction = 0.0
    """Standard deviation of the relative change of size along each axis: 0.05 is 5 %."""
    shear: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Standard deviation of a horizontal shear: the shift of a row per pixel of height."""

    @model_validator(mode="after")
    def _moves_have_a_probability(self) -> "AugmentationConfig":
        moves = ("crop_pixels", "rotation_degrees", "shift_pixels", "scale", "shear")
        asked = [name for name in moves if getattr(self, name) > 0]
        if asked and self.probability == 0:
            given = ", ".join(f"augmentation.{name} = {getattr(self, name)}" for name in asked)
            raise ConfigError(
                f"{given} has no effect while augmentation.probability = 0. "
                "Add --set augmentation.probability=1 to move every image.",
                parameter="augmentation.probability",
                received=0.0,
                suggestion="--set augmentation.probability=1",
            )
        return self


class TrainingConfig(Config):
    """Length, batches, checkpoints and precision of the training loop."""

    epochs: Epochs
    """Passes over the training images."""
    max_steps: NonNegativeInt = 0
    """Steps after which the run is over, in the middle of an epoch too: its schedule ends there; 0
    for all steps of its epochs."""
    batch_size: PositiveInt = 128
    """Images per step."""
    kl_warmup_epochs: NonNegativeFloat = 0.0
    """Epochs over which the KL's weight rises linearly from 0 to 1 (Bowman et al. 2016)."""
    kl_cycles: Epochs = 1
    """Equal parts of the run that each begin with the KL's warm-up (Fu et al. 2019)."""
    ema_decay: Fraction = 0.999
    """Decay per step of the averaged weights, which are validated and exported; 0 for the latest
    weights themselves."""
    validate_every_epochs: PositiveInt = 1
    """Epochs between two validations; each writes a checkpoint and a line of the log."""
    keep: Kept = "bound"
    """Weights that are kept as the best: of the largest validation bound, or of the largest share
    of validation labels that the classifier names rightly, for which those labels must be known."""
    patience: NonNegativeInt = 0
    """Validations in a row without better weights (`keep`) that end the run; 0 for never."""
    max_falls_in_a_row: NonNegativeInt = 0
    """Validations in a row, each worse than the one before, that end the run if the last is clearly
    (0.003 bits per dim) below the best: the model overfits; 0 for never."""
    max_skipped_in_a_row: PositiveInt = 100
    """Steps in a row skipped for a gradient that is not finite that end the run with an error."""
    checkpoint_seconds: PositiveFloat = 60.0
    """Seconds between two checkpoints; every validation writes one too."""
    init: Literal["torch", "glorot"] = "torch"
    """Initial weights: torch's own, or uniform in +-sqrt(6 / (fan_in + fan_out)) with zero biases
    (Glorot and Bengio 2010), which keep the spread of tanh networks from layer to layer."""
    centre_inputs: bool = False
    """Let the first layer of a dense encoder learn as if its inputs had mean 0. Pictures that are
    mostly black, such as digits, are learnt in far fewer epochs so; the model is of the same
    form."""
    start_from_marginal: bool = False
    """Fit the decoder's last biases, and a learned scale, to the distribution of single pixels
    before the first step."""
    precision: Precision = "32-true"
    """Number format of training; evaluation and serving always use float32. Where bfloat16 is
    emulated, training warns: `mnist-elbo` took ten times as long on a CPU with AVX2 alone."""
    compile: bool = False
    """Compile the objective by torch.compile before the first step: a minute or so, which long runs
    win back on a machine with a C++ compiler."""
