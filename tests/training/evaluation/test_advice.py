"""What is advised where a PCA reconstructs better than the model."""

from typing import Any

import pytest

from models.bundle.schema import Evaluation, Reconstruction
from training.evaluation.reconstruction import advise


def evaluated(error: float, *, active: int = 8) -> Evaluation:
    """Of a model with 8 latents, whose PCA has an error of 0.1."""
    errors = {"n": 9, "standard_error": 0.01, "ssim": 0.5, "standard_error_ssim": 0.1}
    return Evaluation(
        dataset="digits",
        split="test",
        num_images=9,
        estimates=(),
        active_units=active,
        reconstructions=(
            Reconstruction(kind="model", mean_squared_error=error, **errors),
            Reconstruction(
                kind="pca", num_components=8, num_train=40, mean_squared_error=0.1, **errors
            ),
        ),
    )


@pytest.mark.parametrize(
    ("recipe", "active", "entry"),
    [
        ({}, 3, "objective.beta=0.5."),
        ({"objective": {"kind": "elbo", "beta": 4.0}}, 3, "objective.beta=2."),
        ({"training": {"epochs": 30}}, 8, "training.epochs=60."),
        ({"objective": {"kind": "iwae"}, "training": {"epochs": 30}}, 3, "training.epochs=60."),
    ],
)
def test_a_smaller_beta_is_advised_where_latents_are_idle_and_else_a_longer_run(
    recipe: dict[str, Any], active: int, entry: str
) -> None:
    said = advise(evaluated(0.2, active=active), recipe)
    assert said is not None
    assert "a PCA with 8 components (mean squared error 0.20000 instead of 0.10000)" in said
    assert said.endswith(f"Train again with --set {entry}")
    assert ("3 of its latent dimensions" in said) == ("beta" in entry)


def test_the_start_at_a_pca_is_advised_and_one_scale_where_the_model_has_begun_so() -> None:
    vae: dict[str, Any] = {"likelihood": {"kind": "discretized_logistic"}, "latent_shape": [8]}
    said = advise(evaluated(0.2), {"vae": vae})
    assert said is not None
    assert said.endswith("Train again with --set vae.principal_path=true, to begin at that PCA.")
    for begun in ({"principal_path": True}, {"posterior": {"kind": "ladder"}}):
        said = advise(evaluated(0.2), {"vae": vae | begun})
        assert said is not None
        assert "Train again with --for reconstruction if errors matter more" in said


def test_nothing_is_advised_where_the_model_is_as_good() -> None:
    assert advise(evaluated(0.1009), {}) is None
    assert advise(evaluated(0.1011), {}) is not None
    assert advise(evaluated(0.2), {"objective": {"kind": "ppca"}}) is None
    alone = evaluated(0.2)
    own = alone.model_copy(update={"reconstructions": alone.reconstructions[:1]})
    assert advise(own, {}) is None
    assert advise(own.model_copy(update={"reconstructions": ()}), {}) is None
