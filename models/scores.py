"""Scores of images, ELBO and log p(x): every field once, with its type and its words.

An estimator in `models.estimators` fills a score for a batch; JSON, npz, CSV, OpenAPI and the
tables of docs/api.md derive their fields from it. torch-free, so that readers of answers need none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar, get_type_hints

import numpy as np
from pydantic import Field

Array = TypeVar("Array")

Estimator = Literal["iwae", "prior", "exact"]
"""Estimators of log p(x); `models.estimators.importance.ESTIMATORS` holds the function of each."""
EvidenceKind = Literal[Estimator, "ais"]
"""Those that a request may name: by annealed importance sampling too."""
ScoreKind = Literal["elbo", Estimator]
KLMethod = Literal["analytic", "monte_carlo"]
AnnealingStart = Literal["prior", "posterior", "refined"]
"""Where annealed chains start: p(z), the encoder's q(z|x), or normals fitted to the image."""
Inference = Literal["amortised", "refined"]
"""Whose draws score an image: the encoder's, or those of a proposal fitted to the image."""
AnomalyKind = Literal[
    "typicality",
    "complexity",
    "reconstruction_error",
    "residual_peak",
    "latent_distance",
    "sharpness",
    "likelihood_regret",
    "layers_ratio",
]
"""Scores of oddness; `models.estimators.typicality` defines them."""

Number = float | None
"""Null in JSON, and NaN in arrays, where it is not finite or does not exist."""
Vector = list[float] | None
Matrix = list[list[Number]] | None
Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Column:
    """Metadata of a field that answers carry, with one value for each image."""

    kind: Any
    """Type of one image's value, as JSON has it."""
    words: str
    example: Any = None
    """A value that fits the examples of the other columns."""
    keeps_shape: bool = False
    """Whether the arrays of one image keep their axes; they are flattened otherwise."""


@dataclass(frozen=True, kw_only=True)
class ElboScore(Generic[Array]):
    """ELBO of each image, with its parts and its standard error.

    Arrays are float64, (batch,) unless said.
    """

    elbo_nats: Annotated[
        Array,
        Column(
            Number,
            "Evidence lower bound, nats: `expected_log_likelihood_nats` - `kl_nats`.",
            example=-88.3,
        ),
    ]
    expected_log_likelihood_nats: Annotated[
        Array,
        Column(
            Number, "Mean of log p(x|z) over the samples of the posterior, nats.", example=-61.9
        ),
    ]
    kl_nats: Annotated[
        Array,
        Column(
            Number,
            "KL(q(z|x) || p(z)), nats: the divergence of the posterior from the prior.",
            example=26.4,
        ),
    ]
    standard_error_nats: Annotated[
        Array,
        Column(
            Number,
            "Monte Carlo standard error of `elbo_nats`, nats; null for one sample.",
            example=0.31,
        ),
    ]
    kl_per_dimension_nats: Annotated[
        Array | None,
        Column(
            Vector,
            "KL of each latent dimension, flattened over the latent shape, nats; null where the KL "
            "is not analytic, or posterior and prior do not factorise.",
            example=[13.1, 13.3],
        ),
    ]
    """(batch, *latent_shape)"""
    kl_per_group_nats: Annotated[
        Array | None,
        Column(
            Vector,
            "KL of each layer of latents, nats; null where there are none, or `inference` is "
            "`refined`.",
        ),
    ]
    """(batch, group)"""
    label_kl_nats: Annotated[
        Array | None,
        Column(
            Number,
            "KL(q(y|x) || p(y)), nats: the part of `kl_nats` that comes from averaging over "
            "labels. Null if there is no such part.",
        ),
    ]
    kl_method: Annotated[
        KLMethod,
        Column(
            KLMethod,
            "How the KL was found: a closed form (`analytic`), or a mean over the samples "
            "(`monte_carlo`).",
            example="analytic",
        ),
    ]
    num_samples: Annotated[
        int, Column(int, "Samples of the posterior for each image.", example=100)
    ]
    reason: Annotated[
        tuple[str | None, ...], Column(str | None, "Why a number is missing; null if none is.")
    ]
    inference: Annotated[
        Inference,
        Column(
            Inference,
            "Whose ELBO: of the encoder's q(z|x) (`amortised`), or of normals fitted to the image "
            "(`refined`).",
            example="amortised",
        ),
    ] = "amortised"
    amortised_elbo_nats: Annotated[
        Array | None,
        Column(
            Number,
            "ELBO of the encoder's q(z|x), nats, as without `refined`; null unless `inference` is "
            "`refined`.",
        ),
    ] = None
    amortisation_gap_nats: Annotated[
        Array | None,
        Column(
            Number,
            "`elbo_nats` - `amortised_elbo_nats`: what the encoder loses against normals fitted to "
            "the image. Null unless `inference` is `refined`.",
        ),
    ] = None
    num_modes: Annotated[
        tuple[int, ...] | None,
        Column(
            int | None,
            "Modes of p(z|x) that the refinement found; null unless `inference` is `refined`.",
        ),
    ] = None
    pixel_log_likelihood_nats: Annotated[
        Array | None,
        Column(
            Matrix,
            "What each pixel adds to `expected_log_likelihood_nats`, nats: log p(x_i|z) of its "
            "channels together, the mean over the samples, height x width. Their sum is that "
            "field. Null unless `pixels` asks for it.",
            keeps_shape=True,
        ),
    ] = None
    """(batch, height, width)"""
    seed: int


@dataclass(frozen=True, kw_only=True)
class EvidenceScore(Generic[Array]):
    """Estimate of log p(x) of each image, with its error, a lower bound and intervals.

    Arrays are float64, (batch,) unless said.
    """

    estimator: Annotated[
        EvidenceKind, Column(EvidenceKind, "Estimator of log p(x), as asked for.", example="iwae")
    ]
    num_samples: Annotated[
        int | tuple[int, ...],
        Column(
            int,
            "Importance samples K of the image; 1 if `estimator` is `exact`, and the number of "
            "chains if it is `ais`.",
            example=1000,
        ),
    ]
    estimate_nats: Annotated[
        Array,
        Column(
            Number,
            "Log of the mean of K importance weights, nats: in expectation a lower bound on "
            "log p(x) that rises with K.",
            example=-84.9,
        ),
    ]
    standard_error_nats: Annotated[
        Array,
        Column(
            Number,
            "Monte Carlo standard error of `estimate_nats`, nats, by the delta method: "
            "sd(w) / (mean(w) sqrt(K)). Null for one sample.",
            example=0.09,
        ),
    ]
    lower_bound_95_nats: Annotated[
        Array,
        Column(
            Number,
            "Lower confidence bound on log p(x), nats: above log p(x) with a probability of at "
            "most 5 % over the seeds, for each image, whatever the weights' tail, the modes that "
            "no draw has met, and K. By betting.",
            example=-85.3,
        ),
    ]
    bound_interval_nats: Annotated[
        Array,
        Column(
            Interval,
            "Interval of the expected bound E[L_n] with n = K / 10, nats, which lies below "
            "log p(x), aimed at 95 % by a t interval of five estimates, each by a tenth of the "
            "draws, of the half that is not diagnosed. Too low where hardly a draw meets a mode. "
            "[null, null] for fewer than 100 samples.",
            example=[-85.9, -85.2],
        ),
    ]
    """(batch, 2)"""
    log_px_interval_nats: Annotated[
        Array,
        Column(
            Interval,
            "Interval of log p(x), nats, aimed at 95 % **if no mode is missed**, nor hardly met: "
            "no diagnosis sees a mode of p(z|x) that no draw has met. By one half of the draws, "
            "where the other half's weights look regular; else [null, null].",
            example=[-85.1, -84.5],
        ),
    ]
    """(batch, 2)"""
    weights_look_regular: Annotated[
        tuple[bool, ...],
        Column(
            bool,
            "Whether there are at least 100 samples, the weights of the diagnosed half have an "
            "effective sample size of at least 50, and `pareto_k` is at most 0.7. Says nothing of "
            "a mode that no draw has met.",
            example=True,
        ),
    ]
    effective_sample_size: Annotated[
        Array,
        Column(
            Number,
            "Effective number of weights of all draws, from 1 to K: (sum w)^2 / sum w^2.",
            example=118.2,
        ),
    ]
    pareto_k: Annotated[
        Array,
        Column(
            Number,
            "Shape of the upper tail of the diagnosed half's weights; above 0.7 errors cannot be "
            "trusted. Null where there are too few samples to fit it.",
            example=0.55,
        ),
    ]
    elbo_nats: Annotated[
        Array | None,
        Column(
            Number,
            "ELBO, nats: mean log-weight of the same samples. Null for the estimator `prior`, "
            "which has no posterior, and where labels are summed over: the mean is then no ELBO. "
            "If `inference` is `refined`, the refined ELBO, also over labels.",
            example=-88.2,
        ),
    ]
    gap_lower_bound_nats: Annotated[
        Array | None,
        Column(
            Number,
            "`estimate_nats` - `elbo_nats`: in expectation a lower bound on KL(q(z|x) || p(z|x)). "
            "Null where the ELBO is.",
            example=3.3,
        ),
    ]
    reason: Annotated[
        tuple[str | None, ...],
        Column(
            str | None,
            "Why the weights do not look regular, so that there is no `log_px_interval_nats`; null "
            "if they do.",
        ),
    ]
    inference: Annotated[
        Inference | tuple[Inference, ...],
        Column(
            Inference,
            "Proposal of the draws: the encoder's q(z|x) (`amortised`), or one fitted to the image "
            "(`refined`). `elbo_nats` is the ELBO of that one.",
            example="amortised",
        ),
    ] = "amortised"
    amortised_elbo_nats: Annotated[
        Array | None,
        Column(
            Number,
            "ELBO of the encoder's q(z|x), nats, as the operation `elbo` gives it with 100 "
            "samples; null unless `inference` is `refined`.",
        ),
    ] = None
    amortisation_gap_nats: Annotated[
        Array | None,
        Column(
            Number,
            "`elbo_nats` - `amortised_elbo_nats`: what the encoder loses against a normal fitted "
            "to the image. `gap_lower_bound_nats` is then the approximation gap. Null unless "
            "`inference` is `refined`.",
        ),
    ] = None
    num_modes: Annotated[
        tuple[int | None, ...] | None,
        Column(
            int | None,
            "Modes of p(z|x) that the refinement found; null unless `inference` is `refined`.",
        ),
    ] = None
    tolerance_nats: Annotated[
        float | None,
        Column(
            Number,
            "Standard error that was asked for, nats; null where `num_samples` was, or another "
            "way. Then the fields below are null too.",
        ),
    ] = None
    tolerance_met: Annotated[
        tuple[bool, ...] | None,
        Column(
            bool | None,
            "Whether `standard_error_nats` is at most the tolerance, and the weights look regular.",
        ),
    ] = None
    tolerance_reason: Annotated[
        tuple[str | None, ...] | None,
        Column(
            str | None,
            "Why the tolerance is not met, and whether more samples would help; null if it is.",
        ),
    ] = None
    num_samples_needed: Annotated[
        tuple[int | None, ...] | None,
        Column(
            int | None,
            "Where the tolerance is not met: K that would about do; null where more samples would "
            "hardly help, and where it is met.",
        ),
    ] = None
    max_num_samples: Annotated[
        int | None,
        Column(int | None, "Limit of K for each image, where a tolerance was asked for."),
    ] = None
    decodings: Annotated[
        tuple[int, ...] | None,
        Column(
            int | None,
            "Decodings that an image usually takes that goes this way, with pilots and refinement; "
            "one with a gradient counts twice. Where a tolerance was asked for.",
        ),
    ] = None
    acceptance_rate: Annotated[
        Array | None,
        Column(
            Number,
            "Share of the moves of annealed chains that were accepted; null unless `estimator` is "
            "`ais`.",
        ),
    ] = None
    seed: int

    @property
    def common_num_samples(self) -> int:
        """K where all images have the same: unless a tolerance was asked for."""
        assert isinstance(self.num_samples, int)
        return self.num_samples


@dataclass(frozen=True, kw_only=True)
class EvidenceProgress(Generic[Array]):
    """Running estimate of log p(x) of each image, by the draws so far.

    Arrays are float64, (batch,) unless said.
    """

    num_samples: Annotated[int, Column(int, "Importance samples so far.", example=512)]
    estimate_nats: Annotated[
        Array, Column(Number, "Log of the mean weight so far, nats.", example=-85.1)
    ]
    standard_error_nats: Annotated[
        Array, Column(Number, "Its Monte Carlo standard error, nats.", example=0.13)
    ]
    lower_bound_95_nats: Annotated[
        Array,
        Column(
            Number,
            "Lower confidence bound on log p(x), nats, as in the answer: it holds wherever one "
            "stops.",
            example=-85.6,
        ),
    ]
    bound_interval_nats: Annotated[
        Array,
        Column(
            Interval,
            "Interval of the expected bound by a tenth of the draws so far, nats; [null, null] for "
            "fewer than 100.",
            example=[-86.2, -85.3],
        ),
    ]
    """(batch, 2)"""
    effective_sample_size: Annotated[
        Array, Column(Number, "Effective number of the weights so far.", example=74.0)
    ]


@dataclass(frozen=True, kw_only=True)
class AnomalyScore(Generic[Array]):
    """Scores of oddness of each image, and their p-values among good pictures.

    Arrays are float64, (batch,). The higher a score, the odder.
    """

    p_value: Annotated[
        Array,
        Column(
            float,
            "p-value of all scores together: of pictures like the held-out good ones, at most a "
            "share of `alpha` has one of at most `alpha`.",
            example=0.0021,
        ),
    ]
    is_anomalous: Annotated[
        Array, Column(bool, "Whether `p_value` is at most `alpha`.", example=True)
    ]
    decided_by: Annotated[
        tuple[AnomalyKind, ...],
        Column(AnomalyKind, "The score that adds most to the evidence.", example="complexity"),
    ]
    typicality: Annotated[
        Array,
        Column(
            Number,
            "Distance of the ELBO from the median of good pictures, nats: what is too probable is "
            "odd, too.",
            example=41.2,
        ),
    ]
    typicality_p_value: Annotated[Array, Column(float, "Its p-value.", example=0.031)]
    complexity: Annotated[
        Array,
        Column(
            Number,
            "-ELBO minus the length of the picture under a lossless code, nats.",
            example=-12.9,
        ),
    ]
    complexity_p_value: Annotated[Array, Column(float, "Its p-value.", example=0.0021)]
    reconstruction_error: Annotated[
        Array,
        Column(
            Number,
            "Squared error of the reconstruction, the mean over pixels and channels, on the scale "
            "0..1.",
            example=0.0187,
        ),
    ]
    reconstruction_error_p_value: Annotated[Array, Column(float, "Its p-value.", example=0.042)]
    residual_peak: Annotated[
        Array,
        Column(
            Number,
            "Largest mean of the squared error in a window of an eighth of a side.",
            example=0.281,
        ),
    ]
    residual_peak_p_value: Annotated[Array, Column(float, "Its p-value.", example=0.0104)]
    latent_distance: Annotated[
        Array,
        Column(
            Number,
            "Squared Mahalanobis distance of the posterior mean among those of good pictures.",
            example=61.5,
        ),
    ]
    latent_distance_p_value: Annotated[Array, Column(float, "Its p-value.", example=0.0083)]
    sharpness: Annotated[
        Array,
        Column(
            Number,
            "Distance of the log sharpness from the median of good pictures: blurred and noisy "
            "pictures are far.",
            example=0.17,
        ),
    ]
    sharpness_p_value: Annotated[Array, Column(float, "Its p-value.", example=0.38)]
    likelihood_regret: Annotated[
        Array | None,
        Column(
            Number,
            "ELBO of a posterior refined for the picture minus that of the encoder's, nats. Null "
            "unless the good pictures were scored with it.",
        ),
    ] = None
    likelihood_regret_p_value: Annotated[
        Array | None, Column(float | None, "Its p-value; null where it is.")
    ] = None
    layers_ratio: Annotated[
        Array | None,
        Column(
            Number,
            "ELBO minus the bound with the lower layers of latents drawn from the prior, nats. "
            "Null unless the model is a ladder.",
        ),
    ] = None
    layers_ratio_p_value: Annotated[
        Array | None, Column(float | None, "Its p-value; null where it is.")
    ] = None


@cache
def columns_of(score: type) -> Mapping[str, Column]:
    """The columns of a score's class by their names, in the order of JSON."""
    hints = get_type_hints(score, include_extras=True)
    return {
        name: note
        for name, hint in hints.items()
        for note in getattr(hint, "__metadata__", ())
        if isinstance(note, Column)
    }


def join_columns(scores: Sequence[Any]) -> dict[str, Any]:
    """The values of each column, image after image, of a score of each batch.

    Arrays have a row for each image; what is said once for a batch is repeated for each of its
    images, None too.
    """
    first = scores[0]
    joined: dict[str, Any] = {}
    for name, column_of in columns_of(first.__class__).items():
        values = [getattr(score, name) for score in scores]
        if isinstance(values[0], tuple | list):
            joined[name] = [entry for value in values for entry in value]
        elif hasattr(values[0], "shape"):
            rows = np.concatenate([np.asarray(value) for value in values])
            as_it_is = rows.ndim == 1 or column_of.keeps_shape
            joined[name] = rows if as_it_is else rows.reshape(len(rows), -1)
        else:
            joined[name] = values[0]
    count = max(len(column) for column in joined.values() if isinstance(column, list | np.ndarray))
    return {
        name: column if isinstance(column, list | np.ndarray) else [column] * count
        for name, column in joined.items()
    }
