"""The numbers of a model card, for each kind of evaluation."""

from models.bundle.schema import Classification
from models.vae.model import VAE
from tests.training.conftest import RECIPE
from tests.training.export.test_card import ESTIMATE, EVALUATION
from training.export.card_numbers import write_numbers


def test_every_estimate_is_a_row_with_its_errors_and_seed() -> None:
    section = write_numbers(EVALUATION, VAE(RECIPE.vae))
    assert "| IWAE, K = 100 | 300 | -90.00 | 0.50 | - | 2.0288 | 0 |" in section
    assert "| IWAE, K = 5,000 | 100 |" in section
    assert "Both kinds of row are bounds" in section
    assert "11.25 nats (rate" in section
    assert "2 of 2 latent dimensions carry something" in section
    assert "layers" not in section
    assert "right class" not in section


def test_an_exact_score_is_called_so() -> None:
    estimate = ESTIMATE.model_copy(update={"estimator": "exact", "num_samples": 1})
    evaluation = EVALUATION.model_copy(update={"estimates": (estimate,)})
    section = write_numbers(evaluation, VAE(RECIPE.vae))
    assert "| log p(x), exact | 300 |" in section
    assert "is log p(x) itself" in section
    assert "bounds" not in section


def test_layers_and_right_classes_are_told() -> None:
    found = Classification(
        method="bayes", num_samples=7, n=300, accuracy=0.95, standard_error=0.0126
    )
    update = {"kl_per_group_nats": (8.0, 3.25), "classification": found}
    section = write_numbers(EVALUATION.model_copy(update=update), VAE(RECIPE.vae))
    assert "the layers, from the one next to the picture, 8.00, 3.25 nats" in section
    assert "right class of 95.00 +- 1.26 % of 300 images, by Bayes' rule, with 7 draws" in section
    found = found.model_copy(update={"method": "classifier", "num_samples": 0})
    update = {"classification": found}
    section = write_numbers(EVALUATION.model_copy(update=update), VAE(RECIPE.vae))
    assert "images, by its classifier q(y|x)." in section
