"""The ELBO of each image."""

from dataclasses import dataclass
from typing import Annotated, Generic

from models.scores.columns import Array, Column, Matrix, Number, Vector
from models.scores.kinds import Inference, KLMethod


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
