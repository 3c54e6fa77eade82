"""Names of what scores are of: estimators, starts, proposals, and scores of oddness."""

from typing import Literal

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
