"""The recipe: everything that decides how a model is trained, and which parts fit together.

`file.py` reads and writes it; `docs/recipes.md` is made of the docstrings under its fields.
"""

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import Field, NonNegativeInt, model_validator

from models.config import Config, Name
from models.errors import ConfigError
from models.images.spec import ImageSpec, check_fit
from models.noise import MAX_SEED
from models.vae_config import VAEConfig
from training.recipes.loop import (
    AugmentationConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
)
from training.recipes.objective import ClassicalKind, ELBOConfig, ObjectiveConfig

CLASSICAL_KINDS: tuple[str, ...] = get_args(ClassicalKind)


class DatasetConfig(Config):
    """The data set, what its splits keep together, and how many of its labels training may see."""

    name: Annotated[str, Field(min_length=1)]
    """A name that `vae-lab datasets` lists, or a path: a folder, .npz, .npy, .tar or .parquet."""
    group_by: Annotated[str, Field(min_length=1)] | None = None
    """What no split may part, as `--group-by` takes it: a regular expression or a `.csv`."""
    labels_per_class: NonNegativeInt = 0
    """Training labels that are kept of each class, chosen by the seed; 0 for all."""


class Recipe(Config):
    """Everything that decides what is trained, and how."""

    name: Name
    """Name of the run's folder and of the exported model: a-z, 0-9, - and _."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    """Seed of everything random in the run."""
    start: Name | None = None
    """Name of a finished run in the same folder, whose best weights training starts from; a mixture
    as the prior, where that run has another one, starts at the run's posteriors."""
    dataset: DatasetConfig
    """Data set that the model is trained on."""
    image: ImageSpec
    """How a picture becomes an observation x."""
    vae: VAEConfig
    """Architecture and distributions of the model."""
    objective: ObjectiveConfig = ELBOConfig()
    """What training maximises."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How a step changes the weights."""
    schedule: ScheduleConfig = ScheduleConfig()
    """The learning rate over the run."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How training images are varied at random."""
    training: TrainingConfig
    """The training loop."""

    @model_validator(mode="before")
    @classmethod
    def _classical_has_no_epochs(cls, values: Any) -> Any:
        """A classical model is fitted at once and needs no `training`."""
        objective = values.get("objective") if isinstance(values, dict) else None
        if isinstance(objective, dict) and objective.get("kind") in CLASSICAL_KINDS:
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
        for rule in RULES:
            if rule.is_broken(self):
                raise refuse(self, rule)
        return self


class Rule(NamedTuple):
    """Two parts of a recipe that do not go together."""

    entry: str
    """The entry at fault, by its dotted name."""
    is_broken: Callable[[Recipe], bool]
    message: str
    """What is wrong and what is allowed; a format of `_values`."""
    fix: str
    """Overrides that mend it, one a line, as `--set` takes them; a format of `_values`."""


def refuse(recipe: Recipe, rule: Rule) -> ConfigError:
    """The error for a broken rule."""
    values = _values(recipe)
    overrides = rule.fix.format_map(values).splitlines()
    fix = " ".join(f"--set {quote(override)}" for override in overrides)
    received: Any = reduce(lambda part, name: getattr(part, name), rule.entry.split("."), recipe)
    if isinstance(received, Config):
        received = received.model_dump(mode="json")
    return ConfigError(
        f"{rule.message.format_map(values)} Add {fix}.",
        parameter=rule.entry,
        received=received,
        suggestion=fix,
    )


def quote(override: str) -> str:
    """An override as a shell takes it."""
    return f"'{override}'" if any(sign in override for sign in "{[ ") else override


def _values(r: Recipe) -> dict[str, Any]:
    """What the rules' messages quote."""
    gradient = getattr(r.objective, "gradient", "")
    networks = {"encoder": r.vae.encoder, "decoder": r.vae.decoder}
    return {
        "r": r,
        "largest_crop": min(r.image.height, r.image.width) - 1,
        "cycle_epochs": f"{r.training.epochs / r.training.kl_cycles:g}",
        "gradient": f" with gradient = {gradient!r}" if gradient else "",
        "latent_shape": list(r.vae.latent_shape),
        "most_components": r.vae.num_dimensions - 1,
        "affine": "\n".join(
            f'vae.{name}={{kind="mlp",hidden=[]}}' for name, has in networks.items() if has
        ),
    }


def _anneals_kl(r: Recipe) -> bool:
    objective = r.objective
    plain = objective.kind == "iwae" and objective.gradient == "plain"
    return objective.kind in ("elbo", "m2") or plain


def _has_closed_kl(r: Recipe) -> bool:
    closed = ("standard_normal", "label_normal")
    return r.vae.prior.kind in closed or r.vae.posterior.kind == "ladder"


def _is_affine(r: Recipe) -> bool:
    return all(
        network is None or (network.kind == "mlp" and not network.hidden)
        for network in (r.vae.encoder, r.vae.decoder)
    )


def _normal_scale(r: Recipe) -> str:
    return r.vae.likelihood.scale if r.vae.likelihood.kind == "normal" else ""


_POINT = ("autoencoder", "pca")
"""Objectives of models without distributions."""

_DENSE = ("mlp", "gated_mlp")

RULES = (
    Rule(
        "vae.encoder.kind",
        lambda r: getattr(r.vae.encoder, "kind", "") == "autoencoder_kl",
        "vae.encoder.kind = 'autoencoder_kl' is not trained here; vae-lab import-diffusers makes "
        "a bundle of a trained one.",
        'vae.encoder={{kind="conv"}}\nvae.decoder={{kind="conv"}}\n'
        'vae.prior={{kind="standard_normal"}}\nvae.likelihood={{kind="discretized_logistic",'
        "levels={r.image.levels}}}\n"
        "image.values=integer",
    ),
    Rule(
        "objective.kind",
        lambda r: r.objective.kind != "m2" and r.vae.classifier is not None,
        "objective.kind = {r.objective.kind!r} does not train vae.classifier; only 'm2' does.",
        'objective={{kind="m2"}}',
    ),
    Rule(
        "objective.kind",
        lambda r: r.vae.posterior.kind == "point" and r.objective.kind not in _POINT,
        "objective.kind = {r.objective.kind!r} needs distributions, and vae.posterior.kind = "
        "'point' has none; 'autoencoder' and 'pca' train such a model.",
        'objective={{kind="autoencoder"}}',
    ),
    Rule(
        "vae.posterior.kind",
        lambda r: r.vae.posterior.kind != "point" and r.objective.kind in _POINT,
        "vae.posterior.kind = {r.vae.posterior.kind!r} does not go with objective.kind = "
        "{r.objective.kind!r}, which needs 'point' and no prior.",
        'vae.prior={{kind="none"}}\nvae.posterior={{kind="point"}}\n'
        'vae.likelihood={{kind="point"}}\nimage.values=unit',
    ),
    Rule(
        "objective.kind",
        lambda r: r.vae.posterior.kind == "enumerated" and r.objective.kind != "gaussian_mixture",
        "objective.kind = {r.objective.kind!r} cannot train vae.posterior.kind = 'enumerated'; "
        "only 'gaussian_mixture' can.",
        'objective={{kind="gaussian_mixture"}}',
    ),
    Rule(
        "vae.posterior.kind",
        lambda r: r.vae.posterior.kind != "enumerated" and r.objective.kind == "gaussian_mixture",
        "vae.posterior.kind = {r.vae.posterior.kind!r} does not go with objective.kind = "
        "'gaussian_mixture', which needs 'enumerated' as in the recipe digits-gaussian-mixture.",
        'objective={{kind="elbo"}}',
    ),
    Rule(
        "objective.kind",
        lambda r: r.objective.kind in CLASSICAL_KINDS and not _is_affine(r),
        "objective.kind = {r.objective.kind!r} needs networks without hidden layers.",
        "{affine}",
    ),
    Rule(
        "vae.classifier",
        lambda r: r.objective.kind == "m2" and r.vae.classifier is None,
        "vae.classifier is missing: objective.kind = 'm2' trains one.",
        'vae.classifier={{kind="mlp"}}',
    ),
    Rule(
        "vae.prior.kind",
        lambda r: (
            r.objective.kind == "ppca"
            and (r.vae.prior.kind, r.vae.posterior.kind) != ("standard_normal", "diagonal_normal")
        ),
        "vae.prior.kind = {r.vae.prior.kind!r} with vae.posterior.kind = {r.vae.posterior.kind!r} "
        "does not go with objective.kind = 'ppca', which needs 'standard_normal' with "
        "'diagonal_normal'.",
        'vae.prior={{kind="standard_normal"}}\nvae.posterior={{kind="diagonal_normal"}}\n'
        "vae.latent_groups=[]",
    ),
    Rule(
        "vae.likelihood",
        lambda r: r.objective.kind == "gaussian_mixture" and _normal_scale(r) != "per_pixel",
        "vae.likelihood does not go with objective.kind = 'gaussian_mixture', which needs a normal "
        "with a scale per pixel.",
        'vae.likelihood={{kind="normal",scale="per_pixel"}}\nimage.values=unit',
    ),
    Rule(
        "vae.likelihood",
        lambda r: r.objective.kind == "ppca" and _normal_scale(r) != "learned",
        "vae.likelihood does not go with objective.kind = 'ppca', which needs a normal with one "
        "learned scale.",
        'vae.likelihood={{kind="normal",scale="learned"}}\nimage.values=unit',
    ),
    Rule(
        "vae.num_labels",
        lambda r: r.objective.kind == "ppca" and r.vae.num_labels > 0,
        "vae.num_labels = {r.vae.num_labels} does not go with objective.kind = 'ppca', which has "
        "no labels.",
        "vae.num_labels=0",
    ),
    Rule(
        "dataset.labels_per_class",
        lambda r: r.objective.kind != "m2" and r.dataset.labels_per_class > 0,
        "dataset.labels_per_class = {r.dataset.labels_per_class} does not go with objective.kind = "
        "{r.objective.kind!r}: only 'm2' learns from images without labels.",
        "dataset.labels_per_class=0",
    ),
    Rule(
        "vae.latent_shape",
        lambda r: (
            r.objective.kind in ("ppca", "pca") and prod(r.vae.latent_shape) >= r.vae.num_dimensions
        ),
        "vae.latent_shape = {latent_shape} is too large: {r.objective.kind} keeps fewer components "
        "than the {r.vae.num_dimensions:,} values of an image.",
        "vae.latent_shape=[{most_components}]",
    ),
    Rule(
        "objective.gradient",
        lambda r: (
            r.objective.kind == "elbo"
            and (r.objective.gradient, r.objective.kl) == ("path", "analytic")
            and _has_closed_kl(r)
        ),
        "objective.gradient = 'path' has no effect on the closed form of the KL that "
        "vae.prior.kind = {r.vae.prior.kind!r} with vae.posterior.kind = {r.vae.posterior.kind!r} "
        "has: it needs a sampled one.",
        "objective.kl=sampled",
    ),
    Rule(
        "objective.free_bits_nats",
        lambda r: (
            r.vae.posterior.kind == "bottom_up" and getattr(r.objective, "free_bits_nats", 0) > 0
        ),
        "objective.free_bits_nats = {r.objective.free_bits_nats:g} does not go with "
        "vae.posterior.kind = 'bottom_up', whose groups have no KL of their own; those of 'ladder' "
        "have.",
        "objective.free_bits_nats=0",
    ),
    Rule(
        "objective.num_samples",
        lambda r: (
            getattr(r.objective, "baseline", "none") != "none" and r.objective.num_samples == 1
        ),
        "objective.num_samples = 1 is too few for objective.baseline = "
        "{r.objective.baseline!r}, which averages the other draws: at least 2.",
        "objective.num_samples=2",
    ),
    Rule(
        "augmentation.crop_pixels",
        lambda r: r.augmentation.crop_pixels >= min(r.image.height, r.image.width),
        "augmentation.crop_pixels = {r.augmentation.crop_pixels} is too large for images of "
        "{r.image.width}x{r.image.height}; the limit is {largest_crop}.",
        "augmentation.crop_pixels={largest_crop}",
    ),
    Rule(
        "training.centre_inputs",
        lambda r: (
            r.training.centre_inputs
            and (
                r.objective.kind in CLASSICAL_KINDS
                or getattr(r.vae.encoder, "kind", "") not in _DENSE
            )
        ),
        "training.centre_inputs = true needs an encoder that is trained step by step, and "
        "vae.encoder.kind = 'mlp' or 'gated_mlp'.",
        "training.centre_inputs=false",
    ),
    Rule(
        "training.kl_warmup_epochs",
        lambda r: not _anneals_kl(r) and r.training.kl_warmup_epochs > 0,
        "training.kl_warmup_epochs = {r.training.kl_warmup_epochs:g} does not go with "
        "objective.kind = {r.objective.kind!r}{gradient}: only elbo, m2 and iwae with gradient = "
        "'plain' warm up a KL.",
        "training.kl_warmup_epochs=0",
    ),
    Rule(
        "training.kl_cycles",
        lambda r: not _anneals_kl(r) and r.training.kl_cycles > 1,
        "training.kl_cycles = {r.training.kl_cycles} does not go with objective.kind = "
        "{r.objective.kind!r}{gradient}: only elbo, m2 and iwae with gradient = 'plain' warm up a "
        "KL.",
        "training.kl_cycles=1",
    ),
    Rule(
        "training.kl_cycles",
        lambda r: r.training.kl_cycles > 1 and r.training.kl_warmup_epochs == 0,
        "training.kl_cycles = {r.training.kl_cycles} repeats the KL's warm-up, but "
        "training.kl_warmup_epochs is 0.",
        "training.kl_warmup_epochs={cycle_epochs}",
    ),
    Rule(
        "training.kl_warmup_epochs",
        lambda r: (
            r.training.kl_cycles > 1
            and r.training.kl_warmup_epochs > r.training.epochs / r.training.kl_cycles
        ),
        "training.kl_warmup_epochs = {r.training.kl_warmup_epochs:g} is longer than a cycle of "
        "{cycle_epochs} epochs ({r.training.epochs} epochs in {r.training.kl_cycles} cycles).",
        "training.kl_warmup_epochs={cycle_epochs}",
    ),
    Rule(
        "training.keep",
        lambda r: r.training.keep == "label_accuracy" and r.vae.classifier is None,
        "training.keep = 'label_accuracy' needs a model with vae.classifier.",
        "training.keep=bound",
    ),
    Rule(
        "training.start_from_marginal",
        lambda r: (
            r.training.start_from_marginal and r.objective.kind in ("autoencoder", *CLASSICAL_KINDS)
        ),
        "training.start_from_marginal = true does not go with objective.kind = "
        "{r.objective.kind!r}, which trains no likelihood step by step.",
        "training.start_from_marginal=false",
    ),
)
"""The first that is broken is reported: families before their details, these before the loop."""
