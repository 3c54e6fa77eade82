"""The recipe: one TOML file that says how a model is trained; it trains nothing.

A recipe is resolved (file, then `--set a.b=c`), checked, and written into the run's folder and
the bundle, so that the same file trains the same model again.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from models.config import Config, ImageSpec, Name, VAEConfig, check_fit
from models.errors import ConfigError
from models.noise import MAX_SEED

Fraction = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["32-true", "bf16-mixed", "64-true"]


class DatasetConfig(Config):
    """What is trained on."""

    name: str
    """A key of `training.known.DATASETS`, or the path of a folder of pictures, `.npz` or `.npy`."""


class ELBOConfig(Config):
    """Maximise the ELBO."""

    kind: Literal["elbo"] = "elbo"
    num_samples: PositiveInt = 1
    """Draws per datum and step."""


class IWAEConfig(Config):
    """Maximise the importance-weighted bound of K draws."""

    kind: Literal["iwae"] = "iwae"
    num_samples: Annotated[int, Field(ge=2)] = 5
    """K."""


ObjectiveConfig = Annotated[ELBOConfig | IWAEConfig, Field(discriminator="kind")]


class OptimizerConfig(Config):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    learning_rate: PositiveFloat = 1e-3
    """The schedule's peak."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
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
    """Standard deviation, as below."""
    shift_pixels: NonNegativeFloat = 0.0
    scale: NonNegativeFloat = 0.0
    shear: NonNegativeFloat = 0.0

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
    batch_size: PositiveInt = 128
    kl_warmup_epochs: NonNegativeFloat = 0.0
    """The KL's weight rises linearly from 0 to 1 over these epochs (Bowman et al. 2016)."""
    ema_decay: Fraction = 0.999
    """Decay per step of the averaged weights, which are validated and exported; 0 keeps none."""
    validate_every_epochs: PositiveInt = 1
    patience: NonNegativeInt = 0
    """Validations in a row without a better bound after which the run is over; 0 for never."""
    max_skipped_in_a_row: PositiveInt = 100
    """Steps whose gradient is not finite are skipped; so many in a row end the run."""
    checkpoint_seconds: PositiveFloat = 60.0
    """A checkpoint is written at every validation, and when this time has passed."""
    start_from_marginal: bool = False
    """Whether the decoder's last biases are fitted to the pixels' own distribution before the first
    step (`training.marginal`): the run then starts from that, not from noise."""
    precision: Precision = "32-true"
    """Of training alone: evaluation and serving use float32."""


class Recipe(Config):
    """Everything that decides what is trained, and how."""

    name: Name
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    start: Name | None = None
    """A finished run in the folder beside this one, whose best weights this one goes on from."""
    dataset: DatasetConfig
    image: ImageSpec
    vae: VAEConfig
    objective: ObjectiveConfig = ELBOConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig

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
        if self.augmentation.crop_pixels >= min(self.image.height, self.image.width):
            raise ValueError(
                "A random crop mirrors fewer pixels than the image has on a side; received "
                f"augmentation.crop_pixels = {self.augmentation.crop_pixels} for "
                f"{self.image.width}x{self.image.height}. Take fewer."
            )
        if self.objective.kind == "iwae" and self.training.kl_warmup_epochs > 0:
            raise ValueError(
                "An importance-weighted bound has no KL term to warm up; received "
                f"training.kl_warmup_epochs = {self.training.kl_warmup_epochs}. Set it to 0."
            )
        return self


def load_recipe(path: Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides to it.

    Args:
        path: A TOML file.
        overrides: `a.b=c` each; c is a TOML value, or text where it is not.

    Raises:
        ConfigError: The file or an override cannot be read, or the result is no recipe.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"A recipe is a readable TOML file; {path}: {error}. Mend it.") from error
    return check_recipe(apply_overrides(values, overrides), str(path))


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Set entries of a recipe's tables in place, and return them.

    Args:
        values: Tables, as read from TOML.
        overrides: As for `load_recipe`.

    Raises:
        ConfigError: An override reads otherwise, or goes through an entry that is no table.
    """
    for override in overrides:
        _set(values, override)
    return values


def check_recipe(values: dict[str, Any], words: str) -> Recipe:
    """The recipe that the tables hold.

    Args:
        values: Tables, as read from TOML.
        words: What they are, for the message.

    Raises:
        ConfigError: They are no recipe.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{words} is no recipe: {error}") from error


def _set(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not all((*tables, last)):
        raise ConfigError(f"An override reads a.b=c; received {override!r}. Write it so.")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(
                f"{table!r} of the override {override!r} is no table. Check its name."
            )
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text.strip()


def to_toml(config: Config, *, comments: Mapping[str, Sequence[str]] | None = None) -> str:
    """The config as TOML, defaults included; `load_recipe` reads it back to an equal one.

    Args:
        config: A recipe, or a part of one.
        comments: Lines to write under the header of a table, by its name.
    """
    return "\n".join(_toml_lines(config.model_dump(mode="json"), (), comments or {})) + "\n"


def _toml_lines(
    table: Mapping[str, Any], prefix: tuple[str, ...], comments: Mapping[str, Sequence[str]]
) -> list[str]:
    # JSON's text for strings, numbers, booleans and flat lists is TOML's too.
    values = {key: value for key, value in table.items() if value is not None}
    plain = [
        f"{key} = {json.dumps(v, ensure_ascii=False)}"
        for key, v in values.items()
        if not isinstance(v, dict)
    ]
    nested = [(key, value) for key, value in table.items() if isinstance(value, dict)]
    name = ".".join(prefix)
    header = ["", f"[{name}]", *(f"# {line}" for line in comments.get(name, ()))]
    lines = [*header, *plain] if prefix and plain else plain
    for key, value in nested:
        lines += _toml_lines(value, (*prefix, key), comments)
    return lines
