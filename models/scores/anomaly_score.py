"""How odd each image is, by several scores and their p-values."""

from dataclasses import dataclass
from typing import Annotated, Generic

from models.scores.columns import Array, Column, Number
from models.scores.kinds import AnomalyKind


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
