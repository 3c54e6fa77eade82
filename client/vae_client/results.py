"""Answers of the operations: arrays, pictures for PIL, tables for pandas and notebooks.

Units are in the names: `_nats`. Missing numbers are NaN in arrays, missing texts "" there; what is
missing as a whole is None. docs/api.md says what each field means.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, ClassVar, TypeVar

import numpy as np
from PIL import Image

from vae_client.display import page, pictures_html, table_html
from vae_client.errors import CallError
from vae_client.pictures import to_pil
from vae_client.tables import table


@dataclass(frozen=True)
class AnswerWarning:
    """What is doubtful about an item; the answer is given all the same."""

    code: str
    message: str
    item: int | None
    """Index of the item; None if of all."""


@dataclass(frozen=True)
class LatentGroup:
    """Slice of the flattened latent that one layer of a hierarchy takes."""

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Answer:
    """What every operation answers."""

    shared: ClassVar[tuple[str, ...]] = ()
    """Arrays that all items share, instead of one row per item."""

    model: str
    version: int
    seed: int | None
    """Of all draws; None where nothing was drawn."""
    warnings: tuple[AnswerWarning, ...]
    preprocessing: tuple[tuple[str, ...], ...] | None
    """What was done to each picture before the model saw it; None where none came in."""
    label_used: tuple[str, ...] | None
    """The label of each item, given or inferred, where the answer is of one."""
    names: tuple[str, ...]
    """Names of the items: files, or their places in what was sent."""
    arrays: Mapping[str, np.ndarray] = field(repr=False)
    """Every field as the service sent it, by its name in docs/api.md."""

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        seed = "" if self.seed is None else f", seed {self.seed}"
        doubts = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"{type(self).__name__}({len(self)} items, model {self.model!r} "
            f"{self.version}{seed}{doubts})"
        )

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each item, which its name is the index of.

        Several numbers of one field are several columns, such as `mean_0`, `mean_1`.

        Raises:
            CallError: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise CallError(
                "to_pandas() needs pandas, which is not installed. Run pip install pandas, or use "
                "the arrays."
            ) from error
        columns = self._table()
        return pandas.DataFrame(columns, index=pandas.Index(self.names, name="name"))

    def _columns(self) -> dict[str, np.ndarray]:
        """The arrays that a table has columns of: a row for each item."""
        return {
            name: array
            for name, array in self.arrays.items()
            if name not in (*self.shared, "images", "logits", "map", "pixel_log_likelihood_nats")
            if array.ndim and len(array) == len(self)
        }

    def _table(self) -> dict[str, list[Any]]:
        columns = table(self._columns(), self.names, classes=self._classes())
        del columns["file"]
        return columns

    def _classes(self) -> Sequence[str]:
        return ()

    def _heading(self) -> str:
        return repr(self)

    def _body(self) -> str:
        return table_html({"name": self.names, **self._table()})

    def _repr_html_(self) -> str:
        doubts = [
            one.message if one.item is None else f"{self.names[one.item]}: {one.message}"
            for one in self.warnings
        ]
        return page(self._heading(), self._body(), doubts)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Encodings(Answer):
    """q(z|x) of each picture."""

    shared: ClassVar[tuple[str, ...]] = ("groups",)
    mean: np.ndarray
    """(N, latent shape)"""
    mean_kind: str
    std: np.ndarray | None
    """(N, latent shape); None for an autoencoder."""
    kl_nats: np.ndarray | None
    samples: np.ndarray | None
    """(N, num_samples, latent shape), where samples were asked for."""
    groups: tuple[LatentGroup, ...] | None
    num_modes: np.ndarray | None
    """With `inference="refined"`."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Images(Answer):
    """Pictures (N, C, H, W): float32 in 0..1, or bytes with `dtype="uint8"`."""

    images: np.ndarray

    def to_pil(self) -> list[Image.Image]:
        """The pictures for PIL, grey or RGB."""
        return to_pil(self.images)

    def _body(self) -> str:
        return pictures_html(self.images, self.names)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Decodings(Images):
    """p(x|z) of each latent."""

    output: str
    logits: np.ndarray | None
    """With `output="logits"`, (N, C, H, W); `images` is then empty."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Reconstructions(Images):
    """p(x|z) at the posterior mean of each picture."""

    output: str
    latents: np.ndarray
    squared_error: np.ndarray | None
    """With `with_error`, as `ssim`."""
    ssim: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Samples(Images):
    """p(x|z) at latents drawn from the prior."""

    output: str
    latents: np.ndarray
    temperature: float
    is_model_sample: bool


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Interpolation(Images):
    """The mean of p(x|z) along a path between two latents."""

    path: str
    steps: int
    latents: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scores(Answer):
    """A score of each picture; `bound` says of what it is a bound, and every number is in nats."""

    bound: ClassVar[str]
    num_samples: np.ndarray
    standard_error_nats: np.ndarray
    reason: np.ndarray
    bits_per_dim: np.ndarray | None
    bits_per_dim_reason: np.ndarray
    percentile: np.ndarray
    percentile_reason: np.ndarray
    reference_n: np.ndarray | None
    inference: np.ndarray
    amortised_elbo_nats: np.ndarray | None
    amortisation_gap_nats: np.ndarray | None
    num_modes: np.ndarray | None

    def _heading(self) -> str:
        return f"{self!r}: {self.bound}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ElboScores(Scores):
    """ELBO of each picture, with its parts and its standard error."""

    bound: ClassVar[str] = "elbo_nats is a lower bound on log p(x), in nats"
    elbo_nats: np.ndarray
    expected_log_likelihood_nats: np.ndarray
    kl_nats: np.ndarray
    kl_per_dimension_nats: np.ndarray | None
    kl_per_group_nats: np.ndarray | None
    label_kl_nats: np.ndarray | None
    kl_method: np.ndarray
    pixel_log_likelihood_nats: np.ndarray
    """What each pixel adds to `expected_log_likelihood_nats`, (N, H, W), with `pixels=True`; else
    NaN, (N,)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LogLikelihoodScores(Scores):
    """Estimate of log p(x) of each picture, with its error, a lower bound and intervals."""

    bound: ClassVar[str] = (
        "lower_bound_95_nats is below log p(x), in nats, with 95 % confidence; the expectation of "
        "estimate_nats is a lower bound"
    )
    estimator: np.ndarray
    estimate_nats: np.ndarray
    lower_bound_95_nats: np.ndarray
    bound_interval_nats: np.ndarray
    """(N, 2)"""
    log_px_interval_nats: np.ndarray
    """(N, 2); NaN where the weights do not look regular."""
    weights_look_regular: np.ndarray
    effective_sample_size: np.ndarray | None
    pareto_k: np.ndarray | None
    elbo_nats: np.ndarray | None
    gap_lower_bound_nats: np.ndarray | None
    tolerance_nats: np.ndarray | None
    tolerance_met: np.ndarray | None
    tolerance_reason: np.ndarray
    num_samples_needed: np.ndarray | None
    max_num_samples: np.ndarray | None
    decodings: np.ndarray | None
    acceptance_rate: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class LogLikelihoodProgress:
    """Running estimate of log p(x) of one picture, by the draws so far; NaN for what is missing."""

    item: int
    """Place of the picture among those that were sent."""
    name: str
    num_samples: int
    estimate_nats: float
    standard_error_nats: float
    lower_bound_95_nats: float
    bound_interval_nats: tuple[float, float]
    effective_sample_size: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Classifications(Answer):
    """q(y|x) of each picture."""

    shared: ClassVar[tuple[str, ...]] = ("labels",)
    labels: tuple[str, ...]
    method: str
    num_samples: int | None
    label: np.ndarray
    """The most probable label of each picture."""
    probabilities: np.ndarray
    """(N, labels)"""

    def _classes(self) -> Sequence[str]:
        return self.labels


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AnomalyScores(Answer):
    """p-values of each picture among good ones, and its scores: the higher, the odder."""

    alpha: float
    """Share of good pictures that may be called anomalous."""
    reference_n: int
    smallest_p_value: float
    p_value: np.ndarray
    """Of all scores together."""
    is_anomalous: np.ndarray
    decided_by: np.ndarray
    typicality: np.ndarray
    typicality_p_value: np.ndarray
    complexity: np.ndarray
    complexity_p_value: np.ndarray
    reconstruction_error: np.ndarray
    reconstruction_error_p_value: np.ndarray
    residual_peak: np.ndarray
    residual_peak_p_value: np.ndarray
    latent_distance: np.ndarray
    latent_distance_p_value: np.ndarray
    sharpness: np.ndarray
    sharpness_p_value: np.ndarray
    likelihood_regret: np.ndarray | None
    """NaN unless the bundle was calibrated with it."""
    likelihood_regret_p_value: np.ndarray | None
    layers_ratio: np.ndarray | None
    """NaN unless the model is a ladder."""
    layers_ratio_p_value: np.ndarray | None
    map: np.ndarray | None
    """Where the reconstruction fails, (N, C, H, W) in 0..1, where it was asked for."""


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version of a model, as the service lists it."""

    name: str
    version: int | None
    status: str
    """ready, loading, draining, unloaded or broken."""
    default: bool
    """Whether a client without a model's name uses it."""
    reason: str | None
    """Why it cannot be loaded."""
    digest: str | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that serves: its shapes, labels, operations and numbers on held-out pictures."""

    name: str
    version: int
    image_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    labels: tuple[str, ...]
    operations: tuple[str, ...]
    lacks: Mapping[str, str]
    """What it cannot do, with the reasons."""
    evaluation: Mapping[str, Any] = field(repr=False)
    """On held-out pictures."""
    document: Mapping[str, Any] = field(repr=False)
    """The whole description, as the service gives it."""


A = TypeVar("A", bound=Answer)


def make_answer(
    kind: type[A],
    arrays: Mapping[str, np.ndarray],
    warnings: Sequence[AnswerWarning],
    names: Sequence[str],
) -> A:
    """A typed answer of the arrays that the service sent.

    Args:
        kind: The class.
        arrays: By name, `warnings` left out.
        warnings: What is doubtful.
        names: Of the items.
    """
    values: dict[str, Any] = {one.name: _value(arrays.get(one.name)) for one in fields(kind)}
    values |= {"arrays": arrays, "warnings": tuple(warnings), "names": tuple(names)}
    for name in ("label_used", "labels"):
        if isinstance(values.get(name), np.ndarray):
            values[name] = tuple(values[name].tolist())
    if values["preprocessing"] is not None:
        steps = values["preprocessing"].tolist()
        values["preprocessing"] = tuple(tuple(filter(None, one.split("; "))) for one in steps)
    if values.get("groups") is not None:
        groups = json.loads(values["groups"])
        values["groups"] = tuple(LatentGroup(**{**g, "shape": tuple(g["shape"])}) for g in groups)
    if values.get("logits") is not None:
        values["images"] = np.zeros((0, *values["logits"].shape[1:]), np.float32)
    return kind(**values)


def _value(array: np.ndarray | None) -> Any:
    """A field: an array with its rows, a plain value, or None."""
    if array is None or array.ndim:
        return array
    plain = array.item()
    return None if plain == "" else plain


def make_warnings(text: str, *, start: int) -> list[AnswerWarning]:
    """The warnings of one request, by the places of its items among all."""
    return [
        AnswerWarning(
            one["code"], one["message"], None if one["item"] is None else start + one["item"]
        )
        for one in json.loads(text)
    ]


def make_model(document: Mapping[str, Any]) -> Model:
    """A model of its description."""
    return Model(
        name=document["name"],
        version=document["version"],
        image_shape=tuple(document["image_shape"]),
        latent_shape=tuple(document["latent_shape"]),
        labels=tuple(document["labels"]),
        operations=tuple(one["name"] for one in document["operations"]),
        lacks=document["lacks"],
        evaluation=document["evaluation"],
        document=document,
    )


def make_versions(document: Mapping[str, Any]) -> list[ModelVersion]:
    """The versions of a list of models."""
    known = [one.name for one in fields(ModelVersion)]
    return [
        ModelVersion(**{name: entry.get(name) for name in known}) for entry in document["models"]
    ]
