"""log p(x) of each image, estimated, and the estimate while it runs."""

from dataclasses import dataclass
from typing import Annotated, Generic

from models.scores.columns import Array, Column, Interval, Number
from models.scores.kinds import EvidenceKind, Inference


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
