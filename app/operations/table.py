"""Operations, each declared once: routes, commands, metric labels and documents derive from here.

Declarations only, over pydantic: `app.compute` computes, `app.api` reads requests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel

from app.operations.parameters import (
    AnomalyParameters,
    ClassifyParameters,
    DecodeParameters,
    ElboParameters,
    EncodeParameters,
    InterpolateParameters,
    LogLikelihoodParameters,
    Parameters,
    ReconstructParameters,
    SampleParameters,
)
from app.operations.summaries import SUMMARIES

Need = Literal[
    "encoder",
    "decoder",
    "posterior",
    "likelihood",
    "prior",
    "standard_normal_prior",
    "exact_posterior",
    "logits",
    "labels",
    "classes",
    "label_posterior",
    "good_pictures",
    "examples",
    "map",
]
"""Capability of a model that an operation or a page may need; docs/api.md explains each."""
Abilities = frozenset[Need]
Input = Literal["images", "latents"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Declaration of an operation: its name, inputs, answer and needs."""

    name: str
    summary: str
    parameters: type[Parameters]
    answer_name: str
    """Class of the answer in `app.operations.answers`."""
    takes: tuple[Input, ...] = ("images",)
    """Inputs that the body may hold; empty for a GET."""
    formats: tuple[str, ...] = ("json", "npy", "npz")
    """Formats of the whole answer, the default first."""
    streams: tuple[str, ...] = ()
    """Formats of the answer line by line, with running estimates."""
    primary: tuple[str, ...]
    """Fields that an npy answer may hold: the first of these that the answer has."""
    draws: Callable[[Any, Abilities], bool]
    """Whether the answer depends on the seed, given the parameters and the model."""
    needs: tuple[Need, ...]
    option_needs: Mapping[tuple[str, str], Need] = field(default_factory=dict)
    """Further needs, by (parameter, value); "*" is every value but the default."""
    per_item: bool = False
    """Whether JSON has one object per item, under `results`."""
    shared: tuple[str, ...] = ()
    """Lists in the answer that all items share, instead of one entry per item."""
    guesses: bool = False
    """Whether images without a label are classified first, and conditioned on that label."""
    exact_items: int | None = None
    """Number of items that the body must hold; None is one or more."""
    is_path: bool = False
    """Whether the images are steps of one path, which a PNG shows in one row."""
    pictures: str = "images"
    """Field of the answer that a PNG shows."""
    alarms: bool = False
    """Whether items may be anomalous, so that a command can move their files and fail."""
    action: str = ""
    """What a refusal says that a model cannot do, where the name is no verb."""

    @property
    def method(self) -> Literal["GET", "POST"]:
        """POST exactly when there is a body."""
        return "POST" if self.takes else "GET"

    @cached_property
    def answer(self) -> type[BaseModel]:
        """Declares the answer's fields; imported where they are needed: help needs none."""
        from app.operations import answers

        found: type[BaseModel] = getattr(answers, self.answer_name)
        return found


_LABEL: dict[tuple[str, str], Need] = {("label", "*"): "labels"}
_REFINED: dict[tuple[str, str], Need] = {("inference", "refined"): "likelihood"}
_SAMPLE: dict[tuple[str, str], Need] = {("output", "sample"): "likelihood"}

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            name="encode",
            summary=SUMMARIES["encode"],
            parameters=EncodeParameters,
            answer_name="EncodeAnswer",
            primary=("samples", "mean"),
            draws=lambda asked, abilities: bool(asked.num_samples) or asked.inference == "refined",
            needs=("encoder",),
            option_needs={("num_samples", "*"): "posterior", **_REFINED, **_LABEL},
            shared=("groups",),
            guesses=True,
        ),
        Operation(
            name="decode",
            summary=SUMMARIES["decode"],
            parameters=DecodeParameters,
            answer_name="DecodeAnswer",
            takes=("latents",),
            formats=("json", "png", "npy", "npz"),
            primary=("logits", "images"),
            draws=lambda asked, abilities: bool(asked.output == "sample"),
            needs=("decoder",),
            option_needs={("output", "logits"): "logits", **_SAMPLE, **_LABEL},
        ),
        Operation(
            name="reconstruct",
            summary=SUMMARIES["reconstruct"],
            parameters=ReconstructParameters,
            answer_name="ReconstructAnswer",
            formats=("json", "png", "npy", "npz"),
            primary=("images",),
            draws=lambda asked, abilities: bool(asked.output == "sample"),
            needs=("encoder", "decoder"),
            option_needs=_SAMPLE | _LABEL,
            guesses=True,
        ),
        Operation(
            name="sample",
            summary=SUMMARIES["sample"],
            parameters=SampleParameters,
            answer_name="SampleAnswer",
            takes=(),
            formats=("png", "json", "npy", "npz"),
            primary=("images",),
            draws=lambda asked, abilities: True,
            needs=("prior", "likelihood"),
            option_needs=_LABEL,
        ),
        Operation(
            name="interpolate",
            summary=SUMMARIES["interpolate"],
            parameters=InterpolateParameters,
            answer_name="InterpolateAnswer",
            takes=("images", "latents"),
            formats=("json", "png", "npy", "npz", "webp", "gif"),
            primary=("images",),
            draws=lambda asked, abilities: False,
            exact_items=2,
            is_path=True,
            needs=("encoder", "decoder"),
            option_needs={("path", "spherical"): "standard_normal_prior", **_LABEL},
            guesses=True,
        ),
        Operation(
            name="elbo",
            summary=SUMMARIES["elbo"],
            action="estimate the ELBO",
            parameters=ElboParameters,
            answer_name="ElboAnswer",
            per_item=True,
            primary=("elbo_nats",),
            draws=lambda asked, abilities: True,
            needs=("posterior", "likelihood", "prior"),
            option_needs=_LABEL,
            guesses=True,
        ),
        Operation(
            name="log-likelihood",
            summary=SUMMARIES["log-likelihood"],
            action="estimate the log-likelihood",
            parameters=LogLikelihoodParameters,
            answer_name="LogLikelihoodAnswer",
            per_item=True,
            streams=("ndjson", "event-stream"),
            primary=("estimate_nats",),
            draws=lambda asked, abilities: bool(asked.estimator != "exact"),
            needs=("posterior", "likelihood", "prior"),
            option_needs={("estimator", "exact"): "exact_posterior", **_LABEL},
        ),
        Operation(
            name="anomaly",
            summary=SUMMARIES["anomaly"],
            action="look for anomalies",
            parameters=AnomalyParameters,
            answer_name="AnomalyAnswer",
            per_item=True,
            formats=("json", "png", "npy", "npz"),
            primary=("p_value",),
            draws=lambda asked, abilities: True,
            needs=("encoder", "decoder", "posterior", "likelihood", "prior", "good_pictures"),
            pictures="map",
            alarms=True,
        ),
        Operation(
            name="classify",
            summary=SUMMARIES["classify"],
            parameters=ClassifyParameters,
            answer_name="ClassifyAnswer",
            per_item=True,
            primary=("probabilities",),
            draws=lambda asked, abilities: "label_posterior" not in abilities,
            needs=("classes",),
            shared=("labels",),
        ),
    )
}
