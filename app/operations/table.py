"""The operations, each declared once: routes, commands, metric labels and documents derive from it.

Declarations only: nothing here computes, reads a request or knows torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from app.operations import answers as schemas
from app.operations.parameters import (
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
]
"""What an operation may need of a model; docs/api.md says what each means."""
Abilities = frozenset[Need]
Input = Literal["images", "latents"]


@dataclass(frozen=True)
class Operation:
    """What an operation is called, takes, gives and needs."""

    name: str
    summary: str
    parameters: type[Parameters]
    answer: type[BaseModel]
    takes: tuple[Input, ...]
    """What the body may hold; empty for a GET."""
    formats: tuple[str, ...]
    """The forms of an answer, the default one first."""
    primary: tuple[str, ...]
    """Field that npy gives: the first of these that the answer has."""
    draws: Callable[[Any, Abilities], bool]
    """Whether anything in the answer rests on the seed, given parameters and model."""
    needs: tuple[Need, ...]
    option_needs: Mapping[tuple[str, str], Need] = field(default_factory=dict)
    """What a model needs besides for one value of a parameter; "*" is every value but the
    default."""
    shared: tuple[str, ...] = ()
    """Lists that the answer holds once for all items."""
    guesses: bool = False
    """Whether q(y|x) is found first for images that come without a label."""
    exact_items: int | None = None
    """How many items the body must hold; any number from one on if None."""

    @property
    def method(self) -> Literal["GET", "POST"]:
        """POST exactly when there is a body."""
        return "POST" if self.takes else "GET"

    @property
    def per_item(self) -> bool:
        """Whether JSON has one object per item, under `results`."""
        return "results" in self.answer.model_fields


_LABEL: dict[tuple[str, str], Need] = {("label", "*"): "labels"}
_SAMPLE: dict[tuple[str, str], Need] = {("output", "sample"): "likelihood"}

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            name="encode",
            summary="Posterior mean and standard deviation of each image's latent.",
            parameters=EncodeParameters,
            answer=schemas.EncodeAnswer,
            takes=("images",),
            formats=("json", "npy", "npz"),
            primary=("samples", "mean"),
            draws=lambda asked, abilities: bool(asked.num_samples),
            needs=("encoder",),
            option_needs={("num_samples", "*"): "posterior", **_LABEL},
            shared=("groups",),
            guesses=True,
        ),
        Operation(
            name="decode",
            summary="Images of latents.",
            parameters=DecodeParameters,
            answer=schemas.DecodeAnswer,
            takes=("latents",),
            formats=("json", "png", "npy", "npz"),
            primary=("logits", "images"),
            draws=lambda asked, abilities: bool(asked.output == "sample"),
            needs=("decoder",),
            option_needs={("output", "logits"): "logits", **_SAMPLE, **_LABEL},
        ),
        Operation(
            name="reconstruct",
            summary="Each image encoded to its posterior mean and decoded again.",
            parameters=ReconstructParameters,
            answer=schemas.ReconstructAnswer,
            takes=("images",),
            formats=("json", "png", "npy", "npz"),
            primary=("images",),
            draws=lambda asked, abilities: bool(asked.output == "sample"),
            needs=("encoder", "decoder"),
            option_needs=_SAMPLE | _LABEL,
            guesses=True,
        ),
        Operation(
            name="sample",
            summary="Images of latents drawn from the prior.",
            parameters=SampleParameters,
            answer=schemas.SampleAnswer,
            takes=(),
            formats=("png", "json", "npy", "npz"),
            primary=("images",),
            draws=lambda asked, abilities: True,
            needs=("prior", "likelihood"),
            option_needs=_LABEL,
        ),
        Operation(
            name="interpolate",
            summary="Images between two images (by their posterior means) or two latents.",
            parameters=InterpolateParameters,
            answer=schemas.InterpolateAnswer,
            takes=("images", "latents"),
            formats=("json", "png", "npy", "npz", "webp", "gif"),
            primary=("images",),
            draws=lambda asked, abilities: False,
            exact_items=2,
            needs=("encoder", "decoder"),
            option_needs={("path", "spherical"): "standard_normal_prior", **_LABEL},
            guesses=True,
        ),
        Operation(
            name="elbo",
            summary="Evidence lower bound of each image, in nats, with its parts and its error.",
            parameters=ElboParameters,
            answer=schemas.ElboAnswer,
            takes=("images",),
            formats=("json", "npy", "npz"),
            primary=("elbo_nats",),
            draws=lambda asked, abilities: True,
            needs=("posterior", "likelihood", "prior"),
            option_needs=_LABEL,
            guesses=True,
        ),
        Operation(
            name="log-likelihood",
            summary="Estimate of log p(x) of each image by importance sampling, in nats, with its "
            "error and whether it can be relied on.",
            parameters=LogLikelihoodParameters,
            answer=schemas.LogLikelihoodAnswer,
            takes=("images",),
            formats=("json", "npy", "npz"),
            primary=("estimate_nats",),
            draws=lambda asked, abilities: bool(asked.estimator != "exact"),
            needs=("posterior", "likelihood", "prior"),
            option_needs={("estimator", "exact"): "exact_posterior", **_LABEL},
        ),
        Operation(
            name="classify",
            summary="Probability of each label, or of each component of a mixture, given the "
            "image.",
            parameters=ClassifyParameters,
            answer=schemas.ClassifyAnswer,
            takes=("images",),
            formats=("json", "npy", "npz"),
            primary=("probabilities",),
            draws=lambda asked, abilities: "label_posterior" not in abilities,
            needs=("classes",),
            shared=("labels",),
        ),
    )
}
