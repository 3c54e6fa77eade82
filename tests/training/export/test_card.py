"""The model card: what a stranger finds in it, for every kind of model and recipe."""

from dataclasses import replace

import pytest

from models.bundle.schema import (
    Annealed,
    Baseline,
    Bidirectional,
    BundleConfig,
    Classification,
    Difference,
    Embedding,
    Estimate,
    Evaluation,
    Paired,
    Reconstruction,
)
from models.config import (
    BernoulliConfig,
    CategoricalPriorConfig,
    ContinuousBernoulliConfig,
    EnumeratedConfig,
    MLPConfig,
)
from models.vae.likelihoods import LIKELIHOODS
from models.vae.make_network import NETWORKS
from models.vae.model import VAE
from models.vae.posteriors import POSTERIORS
from models.vae.priors import PRIORS
from models.vae_config import VAEConfig
from tests.models.bundle_cases import PROVENANCE
from tests.training.conftest import RECIPE
from training.data.datasets import load
from training.evaluation.baselines import DESCRIPTIONS
from training.export import card
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
    lines: bool = False,
    split_by: str = "",
) -> str:
    """The card of a tiny model; in one line unless `lines` are asked for."""
    recipe = (
        f'{start}\n[dataset]\nname = "digits"\n[augmentation]\n{augmentation}\n'
        f"[objective]\n{objective}\n"
    )
    provenance = PROVENANCE.model_copy(
        update={"recipe": recipe, "dataset": "digits", "training_seconds": 150.0}
    )
    unit = vae.likelihood.kind in ("continuous_bernoulli", "normal", "point")
    binary = (
        {"levels": 2, "binarization": "threshold"} if vae.likelihood.kind == "bernoulli" else {}
    )
    image = RECIPE.image.model_copy(update={"values": "unit"} if unit else binary)
    config = BundleConfig(
        name="tiny", version=3, vae=vae, image=image, labels=labels, provenance=provenance
    )
    dataset = replace(load("digits"), split_by=split_by)
    text = write_card(config, evaluation, dataset, VAE(vae))
    return text if lines else " ".join(text.split())


def test_it_says_what_the_model_is_and_how_to_call_it() -> None:
    text = card_of(lines=True)
    assert text.startswith("# tiny, version 3\n")
    assert "trained on `digits`: handwritten digits" in text
    assert "grey images of 8 x 8 pixels" in text
    assert "MODEL=http://localhost:8000/v1/models/tiny\n" in text
    for operation in ("sample", "encode", "reconstruct", "elbo", "log-likelihood"):
        assert f'"$MODEL/{operation}' in text


def test_it_names_the_labels_and_whether_the_model_takes_them() -> None:
    assert "of 2 classes, `zero`, `one`; the model was trained without them." in card_of()
    given = RECIPE.vae.model_copy(update={"num_labels": 2})
    assert "`one`; every operation takes one as `label`." in card_of(vae=given)
    assert "The classes take turns; `sample` takes one as `label`." in card_of(vae=given)
    assert "classes" not in card_of(labels=())


def test_a_card_has_no_empty_sentence_and_no_gap() -> None:
    text = card_of(lines=True)
    for gap in ("\n\n\n", " .", "..", " ,", "None", "{{", "{%"):
        assert gap not in text


def test_every_estimate_is_a_row_with_its_errors_and_seed() -> None:
    text = card_of(lines=True)
    assert "\n| IWAE, K = 100 | 300 | -90.00 | 0.50 | - | 2.0288 | 0 |\n" in text
    assert "\n| IWAE, K = 5,000 | 100 |" in text
    assert "Every row is a lower bound" in text
    assert "2 of 2 latent dimensions are active" in text
    assert "layer" not in text
    assert "right class" not in text


def test_an_exact_score_is_called_so() -> None:
    estimate = ESTIMATE.model_copy(update={"estimator": "exact", "num_samples": 1})
    text = card_of(evaluation=EVALUATION.model_copy(update={"estimates": (estimate,)}))
    assert "| log p(x), exact | 300 |" in text
    assert "is log p(x) itself" in text
    assert "bound" not in text


def test_layers_and_right_classes_are_told() -> None:
    found = Classification(
        method="bayes", num_samples=7, n=300, accuracy=0.95, standard_error=0.0126
    )
    update = {"kl_per_group_nats": (8.0, 3.25), "classification": found}
    text = card_of(evaluation=EVALUATION.model_copy(update=update))
    assert "(by layer, from the one next to the picture: 8.00, 3.25); the distortion" in text
    share = "right class of 95.00 % of 300 images (95 % interval: 91.92 to 96.95)"
    assert f"{share}, by Bayes' rule with 7 draws" in text
    found = found.model_copy(update={"method": "classifier", "num_samples": 0})
    text = card_of(evaluation=EVALUATION.model_copy(update={"classification": found}))
    assert f"{share}, by its classifier q(y|x)." in text


def test_numbers_stand_beside_baselines_in_the_same_unit() -> None:
    text = card_of()
    # 0.5 nats / (64 ln 2); the bound of all images, not that of the subset
    assert "| this model, IWAE, K = 100 | 300 | 2.0288 | 0.0113 |" in text
    for baseline in BASELINES:
        row = f"| {DESCRIPTIONS[baseline.kind]} | 300 | {baseline.bits_per_dim:.4f} | - |"
        assert row in text
    assert "57 bytes of a PNG" in text
    assert "Rows of 100 images are of a random subset" in text
    assert "The rate, the mean KL from q(z|x) to the prior, is 11.25 nats;" in text
    assert "the distortion, the mean of -log p(x|z), is 78.75 nats." in text


def test_the_bound_by_difference_is_explained_and_stands_beside_baselines() -> None:
    assert "By difference" not in card_of()
    update = {"num_samples": 5000, "difference": Difference(num_samples=100, n=50)}
    estimates = *EVALUATION.estimates, ESTIMATE.model_copy(update=update)
    text = card_of(evaluation=EVALUATION.model_copy(update={"estimates": estimates}))
    assert "| IWAE, K = 5,000, by difference | 300 |" in text
    assert "the mean of K = 100 over all of them" in text
    assert "over a random subset of 50. It is unbiased" in text
    assert "| this model, IWAE, K = 5,000, by difference | 300 |" in text


ANNEALED = Annealed(
    start="refined",
    num_steps=300,
    num_chains=16,
    num_leapfrog=5,
    n=100,
    seed=0,
    mean_nats=-88.0,
    standard_error_nats=0.75,
    monte_carlo_error_nats=0.02,
    bits_per_dim=1.9837,
    effective_sample_size=12.0,
    acceptance_rate=0.66,
    refined=Paired(
        num_samples=1000,
        mean_nats=-88.01,
        standard_error_nats=0.75,
        monte_carlo_error_nats=0.004,
        difference_nats=0.0125,
        difference_error_nats=0.0215,
    ),
)
BIDIRECTIONAL = Bidirectional(
    start="refined",
    num_steps=300,
    num_chains=16,
    num_leapfrog=5,
    n=20,
    seed=0,
    lower_nats=-70.02,
    upper_nats=-70.0,
    gap_nats=0.02,
    gap_error_nats=0.03,
    acceptance_rate=0.66,
)


def test_what_was_annealed_has_a_table_of_its_own() -> None:
    assert "anneal" not in card_of()
    update = {"annealed": ANNEALED, "bidirectional": BIDIRECTIONAL}
    text = card_of(evaluation=EVALUATION.model_copy(update=update), lines=True)
    for row in (
        "AIS from refined q, 300 steps | 100 | -88.00 | 0.75 | 0.020 | 1.9837",
        "refined, K = 1,000, the same images | 100 | -88.01 | 0.75 | 0.004 | -",
        "AIS minus refined | 100 | +0.013 | 0.021 | - | -",
        "BDMC gap, simulated images | 20 | 0.020 | 0.030 | - | -",
    ):
        assert f"\n| {row} |\n" in text
    assert "\n\n\n" not in text
    assert "by 16 chains an image, estimates log p(x) from below." in text
    assert "fitted to each image, are of the same images.\n" in text
    assert "The BDMC gap is that between" in text


def test_what_was_not_annealed_is_not_spoken_of() -> None:
    update = {"annealed": ANNEALED.model_copy(update={"refined": None, "given_labels": True})}
    text = card_of(evaluation=EVALUATION.model_copy(update=update))
    assert "AIS from refined q, 300 steps, given the labels | 100 |" in text
    assert "estimates log p(x|y), with the images' own labels, from below." in text
    assert "does not compare with those above. " in text
    assert "BDMC" not in text
    update = {"bidirectional": BIDIRECTIONAL}
    assert "AIS" not in card_of(evaluation=EVALUATION.model_copy(update=update))


def test_files_are_not_spoken_of_where_there_are_none() -> None:
    text = card_of(evaluation=EVALUATION.model_copy(update={"baselines": BASELINES[:1]}))
    assert "| histogram of each pixel |" in text
    assert "PNG, " not in text
    assert "57 bytes" not in text


def test_a_density_has_neither_bits_nor_baselines() -> None:
    vae = RECIPE.vae.model_copy(update={"likelihood": ContinuousBernoulliConfig()})
    estimate = ESTIMATE.model_copy(update={"bits_per_dim": None})
    evaluation = EVALUATION.model_copy(update={"estimates": (estimate,), "baselines": ()})
    text = card_of(vae=vae, evaluation=evaluation)
    assert "likelihood is a density, so nats depend on the scale" in text
    assert "*Bits per dim*" not in text
    assert "this model," not in text
    assert "random subset" not in text


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
    text = card_of(start='start = "first"')
    assert "`vae-lab train first` and this one after it together" in text
    assert "took 2 minutes on none" in text


def test_a_model_without_encoder_is_described_too() -> None:
    vae = VAEConfig(
        image_shape=(1, 8, 8),
        latent_shape=(5,),
        likelihood=BernoulliConfig(),
        prior=CategoricalPriorConfig(),
        posterior=EnumeratedConfig(),
        decoder=MLPConfig(hidden=()),
    )
    text = card_of(vae=vae)
    assert "No encoder and a dense decoder" in text
    assert "the exact posterior, by going through all values" in text
    assert "black-and-white images" in text


def test_a_model_with_labels_says_how_to_name_one_and_how_to_ask_for_one() -> None:
    text = card_of(vae=RECIPE.vae.model_copy(update={"num_labels": 2}))
    assert "a latent into a picture, both given a class, draws new pictures" in text
    assert "label=0" in text
    assert '"$MODEL/classify?seed=1"' in text
    assert "given the most probable class" in text
    assert "classify" not in card_of()


def test_layers_are_named() -> None:
    grouped = {
        **RECIPE.vae.model_dump(),
        "latent_shape": (5,),
        "latent_groups": ((3,), (2,)),
        "prior": {"kind": "top_down"},
        "posterior": {"kind": "ladder"},
    }
    text = card_of(vae=VAEConfig.model_validate(grouped))
    assert "5 numbers in 2 layers" in text
    assert "each layer's given that of the one before" in text


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
    text = card_of(
        vae=VAEConfig.model_validate(points),
        evaluation=evaluation,
        objective='kind = "autoencoder"',
    )
    assert "A deterministic autoencoder of grey images" in text
    assert "draws no samples and scores no pictures" in text
    assert "the squared error of a reconstruction is 1.2500" in text
    assert '"$MODEL/encode"' in text
    for word in ("samples.png", "$MODEL/elbo", "nats", "percentile", "p(x|z)'s", "mean of p(x|z)"):
        assert word not in text


def test_reconstructions_and_embeddings_stand_beside_principal_components() -> None:
    errors = {"n": 300, "standard_error": 0.0004, "ssim": 0.925, "standard_error_ssim": 0.0036}
    probed = {"num_train": 1197, "n": 300, "linear_accuracy": 0.92, "neighbours_accuracy": 1.0}
    evaluation = EVALUATION.model_copy(
        update={
            "reconstructions": (
                Reconstruction(kind="model", mean_squared_error=0.01127, **errors),
                Reconstruction(
                    kind="pca",
                    num_components=8,
                    num_train=1437,
                    mean_squared_error=0.02395,
                    **errors,
                ),
            ),
            "embeddings": (Embedding(kind="posterior_mean", num_features=8, **probed),),
        }
    )
    text = card_of(evaluation=evaluation)
    assert "| this model | 300 | 0.01127 | 0.00040 | 0.9250 | 0.0036 |" in text
    assert "| PCA, 8 components | 300 | 0.02395 |" in text
    assert "fitted to 1,437 training images" in text
    assert "| 8 posterior means | 300 | 92.0 (88.4 to 94.6) | 100.0 (98.7 to 100.0) |" in text
    assert "1,197 training images with labels. `vae-lab evaluate`" in text
    given = RECIPE.vae.model_copy(update={"num_labels": 2})
    assert "under the most probable class." in card_of(vae=given, evaluation=evaluation)
    assert "SSIM" not in card_of()
    assert "linear probe" not in card_of()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ppca", "Probabilistic principal component analysis"),
        ("pca", "Principal components, held by"),
        ("gaussian_mixture", "A mixture of normals, fitted by expectation-maximisation"),
    ],
)
def test_a_classical_model_is_called_by_its_name_and_was_fitted(kind: str, words: str) -> None:
    text = card_of(objective=f'kind = "{kind}"')
    assert words in text
    assert "The weights are the fitted model's own; no gradients were used." in text
    assert "running average" not in text


def test_every_prior_posterior_and_likelihood_has_its_words() -> None:
    assert card.PRIORS.keys() == PRIORS.keys()
    assert card.POSTERIORS.keys() == POSTERIORS.keys()
    assert card.LIKELIHOODS.keys() == LIKELIHOODS.keys()
    assert card.NETWORKS.keys() == NETWORKS.keys()


def test_it_says_how_the_data_were_split() -> None:
    assert "The splits of `digits` are fixed." in card_of()
    said = "at random by group; 12 near-copies kept together; 34 groups kept whole"
    assert f"Split: {said}." in card_of(split_by=said)
