"""The model card: what a stranger finds in it, for every kind of model and recipe."""

import pytest

from models.bundle.schema import Baseline, BundleConfig, Estimate, Evaluation, Provenance
from models.config import (
    BernoulliConfig,
    CategoricalPriorConfig,
    ContinuousBernoulliConfig,
    EnumeratedConfig,
    MLPConfig,
    VAEConfig,
)
from models.vae.model import VAE
from tests.training.conftest import RECIPE
from training.data.datasets import load
from training.evaluation.baselines import DESCRIPTIONS
from training.export.card import write_card
from training.recipes.loop import AugmentationConfig

ESTIMATE = Estimate(
    estimator="iwae",
    num_samples=100,
    n=300,
    seed=0,
    mean_nats=-90.0,
    standard_error_nats=0.5,
    bits_per_dim=2.0288,
)
BASELINES = tuple(
    Baseline(kind=kind, n=300, bits_per_dim=2.5 + i) for i, kind in enumerate(DESCRIPTIONS)
)
EVALUATION = Evaluation(
    dataset="digits",
    split="test",
    num_images=300,
    estimates=(ESTIMATE, ESTIMATE.model_copy(update={"num_samples": 5000, "n": 100})),
    rate_nats=11.25,
    distortion_nats=78.75,
    active_units=2,
    baselines=BASELINES,
)


def card_of(
    *,
    augmentation: str = "",
    vae: VAEConfig = RECIPE.vae,
    evaluation: Evaluation = EVALUATION,
    labels: tuple[str, ...] = ("zero", "one"),
    start: str = "",
    objective: str = "",
) -> str:
    provenance = Provenance(
        recipe=f'{start}\n[dataset]\nname = "digits"\n[augmentation]\n{augmentation}\n'
        f"[objective]\n{objective}\n",
        seed=1,
        code_version="0.1.0",
        dataset="digits",
        dataset_sha256="ab" * 32,
        created_at="2026-01-02T03:04:05Z",
        training_seconds=150.0,
        epochs=2.0,
        hardware="none",
        torch_version="2.13.0",
    )
    unit = vae.likelihood.kind in ("continuous_bernoulli", "normal", "point")
    binary = (
        {"levels": 2, "binarization": "threshold"} if vae.likelihood.kind == "bernoulli" else {}
    )
    image = RECIPE.image.model_copy(update={"values": "unit"} if unit else binary)
    config = BundleConfig(
        name="tiny", version=3, vae=vae, image=image, labels=labels, provenance=provenance
    )
    return write_card(config, evaluation, load("digits"), VAE(vae))


def test_it_says_what_the_model_is_and_how_to_call_it() -> None:
    card = card_of()
    assert card.startswith("# tiny, version 3\n")
    assert "trained on `digits`: handwritten digits" in card
    assert "grey images of 8 x 8 pixels" in card
    assert "MODEL=http://localhost:8000/v1/models/tiny\n" in card
    for operation in ("sample", "encode", "reconstruct", "elbo", "log-likelihood"):
        assert f'"$MODEL/{operation}' in card


def test_it_names_the_labels_and_whether_the_model_takes_them() -> None:
    assert "of 2 classes, `zero`, `one`; the model was trained without them." in card_of()
    given = RECIPE.vae.model_copy(update={"num_labels": 2})
    assert "`one`; every operation takes one as `label`." in card_of(vae=given)
    assert "The classes take turns; `sample` takes one as `label`." in card_of(vae=given)
    assert "classes" not in card_of(labels=())


def test_numbers_stand_beside_baselines_in_the_same_unit() -> None:
    card = card_of()
    assert "| IWAE, K = 100 | 300 | -90.00 | 0.50 | - | 2.0288 | 0 |" in card
    # 0.5 nats / (64 ln 2); the bound of all images, not that of the subset
    assert "| this model, IWAE, K = 100 | 300 | 2.0288 | 0.0113 |" in card
    for baseline in BASELINES:
        row = f"| {DESCRIPTIONS[baseline.kind]} | 300 | {baseline.bits_per_dim:.4f} | - |"
        assert row in card
    assert "57 bytes of a PNG" in card
    assert "Rows of 100 images are of a random subset" in card
    assert "11.25 nats (rate" in card
    assert "78.75 nats (distortion)" in card


def test_files_are_not_spoken_of_where_there_are_none() -> None:
    card = card_of(evaluation=EVALUATION.model_copy(update={"baselines": BASELINES[:1]}))
    assert "| histogram of each pixel |" in card
    assert "PNG, " not in card
    assert "57 bytes" not in card


def test_a_density_has_neither_bits_nor_baselines() -> None:
    vae = RECIPE.vae.model_copy(update={"likelihood": ContinuousBernoulliConfig()})
    estimate = ESTIMATE.model_copy(update={"bits_per_dim": None})
    evaluation = EVALUATION.model_copy(update={"estimates": (estimate,), "baselines": ()})
    card = card_of(vae=vae, evaluation=evaluation)
    assert "likelihood is a density, so that nats depend on the scale" in card
    assert "*Bits per dim*" not in card
    assert "this model," not in card
    assert "random subset" not in card


@pytest.mark.parametrize(
    ("augmentation", "words"),
    [
        ("", "Training images were taken as they are."),
        ('flip = "horizontal"', "at random: every second one was mirrored left to right."),
        ('flip = "both"', "and every second one upside down."),
        (
            "probability = 0.5\nuntil = 0.8\ncrop_pixels = 2",
            "at first 50% of them, and fewer and fewer until 80% of the run, were shifted by up to "
            "2 whole pixels (standard",
        ),
        (
            'flip = "horizontal"\nprobability = 1.0\nrotation_degrees = 7.5\nshear = 0.1',
            "left to right; at first 100% of them, and fewer and fewer until the end, were rotated "
            "by 7.5 degrees, sheared by 0.1 (standard",
        ),
        (
            "probability = 1.0\nscale = 0.05\nshift_pixels = 1.5",
            "were shifted by 1.5 pixels, scaled by 5% (standard",
        ),
    ],
)
def test_it_says_how_training_images_were_varied(augmentation: str, words: str) -> None:
    assert words in card_of(augmentation=augmentation)


def test_every_way_to_vary_images_has_its_words() -> None:
    told = {"flip", "probability", "until", "crop_pixels", "rotation_degrees", "shift_pixels"}
    assert AugmentationConfig.model_fields.keys() == told | {"scale", "shear"}


def test_it_names_the_run_that_this_one_went_on_from() -> None:
    card = card_of(start='start = "first"')
    assert "`vae-lab train first` and this one after it together" in card
    assert "took 2 minutes on none" in card


def test_a_model_without_encoder_is_described_too() -> None:
    vae = VAEConfig(
        image_shape=(1, 8, 8),
        latent_shape=(5,),
        likelihood=BernoulliConfig(),
        prior=CategoricalPriorConfig(),
        posterior=EnumeratedConfig(),
        decoder=MLPConfig(hidden=()),
    )
    card = card_of(vae=vae)
    assert "No encoder and a dense decoder" in card
    assert "the exact posterior, by going through all values" in card
    assert "black-and-white images" in card


def test_a_model_with_labels_says_how_to_name_one_and_how_to_ask_for_one() -> None:
    card = card_of(vae=RECIPE.vae.model_copy(update={"num_labels": 2}))
    assert "a latent into a picture, both given a class, draws new pictures" in card
    assert "label=0" in card
    assert '"$MODEL/classify?seed=1"' in card
    assert "given the class that it finds most probable" in card
    assert "classify" not in card_of()


def test_layers_are_named() -> None:
    grouped = {
        **RECIPE.vae.model_dump(),
        "latent_shape": (5,),
        "latent_groups": ((3,), (2,)),
        "prior": {"kind": "top_down"},
        "posterior": {"kind": "ladder"},
    }
    card = card_of(vae=VAEConfig.model_validate(grouped))
    assert "5 numbers in 2 layers" in card
    assert "each layer's given that of the one before" in card


def test_an_autoencoder_is_not_said_to_draw_or_score() -> None:
    points = {
        **RECIPE.vae.model_dump(),
        "prior": {"kind": "none"},
        "posterior": {"kind": "point"},
        "likelihood": {"kind": "point"},
    }
    evaluation = Evaluation(
        dataset="digits",
        split="test",
        num_images=300,
        estimates=(),
        active_units=2,
        squared_error=1.25,
    )
    card = card_of(
        vae=VAEConfig.model_validate(points),
        evaluation=evaluation,
        objective='kind = "autoencoder"',
    )
    assert "A deterministic autoencoder of grey images" in card
    assert "nothing can be scored" in card
    assert "a reconstruction is off by 1.2500" in card
    assert '"$MODEL/encode"' in card
    for word in ("samples.png", "$MODEL/elbo", "nats", "percentile", "p(x|z)'s"):
        assert word not in card


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ppca", "Probabilistic principal components"),
        ("pca", "Principal components, held by"),
        ("gaussian_mixture", "A mixture of normals, fitted by expectation-maximisation"),
    ],
)
def test_a_classical_model_is_called_by_its_name_and_was_fitted(kind: str, words: str) -> None:
    card = card_of(objective=f'kind = "{kind}"')
    assert words in card
    assert "Nothing was trained by gradients" in card
    assert "running average" not in card


def test_every_prior_posterior_and_likelihood_has_its_words() -> None:
    from models.vae.likelihoods import LIKELIHOODS
    from models.vae.posteriors import POSTERIORS
    from models.vae.priors import PRIORS
    from training.export import card

    assert card._PRIOR_WORDS.keys() == PRIORS.keys()
    assert card._POSTERIOR_WORDS.keys() == POSTERIORS.keys()
    assert {*card._LIKELIHOOD_WORDS, "discretized_logistic", "discretized_normal"} == (
        LIKELIHOODS.keys()
    )
