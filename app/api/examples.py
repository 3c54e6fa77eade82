"""An answer of each operation, as the document of the API shows it; a test holds them to it."""

from typing import Any

PNG_8X8 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAI0lEQVR42mNggAJGBob/EIqB4T8Dw38GBiaYFCaD"
    "BaIICQAArjIECQCbkREAAAAASUVORK5CYII="
)

_ENVELOPE: dict[str, Any] = {"model": "mnist", "version": 1}
_STEPS = [["binarize stochastic"]]
_STEP_OBJECTS = [[{"op": "binarize", "from": "256", "to": "2", "how": "stochastic"}]]
_STANDING: dict[str, Any] = {
    "bits_per_dim": 0.1625,
    "bits_per_dim_reason": None,
    "percentile": 41.3,
    "percentile_reason": None,
    "reference_n": 10000,
    "reason": None,
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "encode": {
        **_ENVELOPE,
        "preprocessing": _STEPS,
        "preprocessing_steps": _STEP_OBJECTS,
        "mean": [[0.31, -1.2]],
        "mean_kind": "posterior",
        "std": [[0.11, 0.2]],
        "kl_nats": [4.71],
    },
    "decode": {**_ENVELOPE, "output": "mean", "images": [PNG_8X8]},
    "reconstruct": {
        **_ENVELOPE,
        "preprocessing": _STEPS,
        "preprocessing_steps": _STEP_OBJECTS,
        "output": "mean",
        "images": [PNG_8X8],
        "latents": [[0.31, -1.2]],
    },
    "sample": {
        **_ENVELOPE,
        "seed": 1,
        "output": "mean",
        "temperature": 1.0,
        "is_model_sample": True,
        "images": [PNG_8X8],
        "latents": [[0.52, 0.07]],
    },
    "interpolate": {
        **_ENVELOPE,
        "preprocessing": _STEPS * 2,
        "preprocessing_steps": _STEP_OBJECTS * 2,
        "path": "linear",
        "steps": 2,
        "images": [PNG_8X8, PNG_8X8],
        "latents": [[0.31, -1.2], [0.1, 0.4]],
    },
    "elbo": {
        **_ENVELOPE,
        "seed": 1,
        "preprocessing": _STEPS,
        "preprocessing_steps": _STEP_OBJECTS,
        "results": [
            {
                "elbo_nats": -88.3,
                "expected_log_likelihood_nats": -61.9,
                "kl_nats": 26.4,
                "kl_per_dimension_nats": [13.1, 13.3],
                "kl_per_group_nats": None,
                "label_kl_nats": None,
                "kl_method": "analytic",
                "standard_error_nats": 0.31,
                "num_samples": 100,
                **_STANDING,
            }
        ],
    },
    "log-likelihood": {
        **_ENVELOPE,
        "seed": 1,
        "preprocessing": _STEPS,
        "preprocessing_steps": _STEP_OBJECTS,
        "results": [
            {
                "estimator": "iwae",
                "estimate_nats": -84.9,
                "standard_error_nats": 0.09,
                "confidence_interval_nats": [-85.1, -84.7],
                "interval_covers": "log_px",
                "effective_sample_size": 118.2,
                "pareto_k": 0.55,
                "num_samples": 1000,
                "elbo_nats": -88.2,
                "gap_lower_bound_nats": 3.3,
                "reliable": True,
                **_STANDING,
            }
        ],
    },
    "classify": {
        **_ENVELOPE,
        "preprocessing": _STEPS,
        "preprocessing_steps": _STEP_OBJECTS,
        "labels": ["cat", "dog"],
        "method": "classifier",
        "results": [{"label": "dog", "probabilities": [0.2, 0.8]}],
    },
}
