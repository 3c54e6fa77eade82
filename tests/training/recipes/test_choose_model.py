"""What is chosen for the model: likelihood, networks, latents, labels and prior."""

import numpy as np
import pytest

from models.vae.model import VAE
from tests.training.recipes.conftest import BLACK_AND_WHITE, GREY, reasons, seen
from training.export.export import MAX_BUNDLE_BYTES
from training.recipes import choose as chooser
from training.recipes.classes import Classes


def test_black_and_white_pictures_of_the_models_size_get_a_bernoulli(chosen):
    recipe = chosen(seen(used=BLACK_AND_WHITE)).recipe
    assert recipe.vae.likelihood.kind == "bernoulli"
    assert (recipe.image.levels, recipe.image.binarization) == (2, "threshold")


def test_black_and_white_pictures_that_are_resized_are_grey(chosen):
    recipe = chosen(seen(sizes={(100, 100): 5000}, used=BLACK_AND_WHITE)).recipe
    assert recipe.vae.likelihood.kind == "discretized_logistic"
    assert recipe.image.levels == 256


def test_black_and_white_pictures_may_be_asked_to_be_grey(chosen):
    description = seen(used=BLACK_AND_WHITE)
    recipe = chosen(description, "vae.likelihood.kind=discretized_logistic").recipe
    assert recipe.image.levels == recipe.vae.likelihood.levels == 256


def test_levels_are_those_of_the_data_unless_pictures_are_resized(chosen):
    assert chosen(seen(used=np.ones(17, bool))).recipe.image.levels == 17
    resized = seen(sizes={(100, 100): 5000}, used=np.ones(17, bool))
    assert chosen(resized).recipe.image.levels == 256


@pytest.mark.parametrize(
    ("override", "likelihood", "levels", "values", "binarization"),
    [
        ("image.levels=2", "bernoulli", 2, "integer", "stochastic"),
        ("image.binarization=threshold", "bernoulli", 2, "integer", "threshold"),
        ("vae.likelihood.kind=bernoulli", "bernoulli", 2, "integer", "stochastic"),
        ("image.levels=32", "discretized_logistic", 32, "integer", "none"),
        ("vae.likelihood.levels=16", "discretized_logistic", 16, "integer", "none"),
        ("vae.likelihood.kind=discretized_normal", "discretized_normal", 256, "integer", "none"),
        ("vae.likelihood.kind=normal", "normal", 256, "unit", "none"),
        ("vae.likelihood.kind=continuous_bernoulli", "continuous_bernoulli", 256, "unit", "none"),
    ],
)
def test_levels_and_likelihood_agree_whichever_is_asked_for(
    chosen, override, likelihood, levels, values, binarization
):
    recipe = chosen(GREY, override).recipe
    image = recipe.image
    assert recipe.vae.likelihood.kind == likelihood
    assert (image.levels, image.values, image.binarization) == (levels, values, binarization)


@pytest.mark.parametrize("side", [1, 5, 8, 9, 20, 28, 32, 48, 64, 96, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_suit_any_size_and_fit_into_a_bundle(chosen, side, channels):
    vae = chosen(GREY, f"image.height={side}", f"image.channels={channels}").recipe.vae
    assert vae.encoder.kind == vae.decoder.kind == ("conv" if side > 8 else "mlp")
    if side > 8:
        assert 2 <= -(-side // 2 ** len(vae.encoder.channels)) <= 7
    num_bytes = 4 * sum(parameter.numel() for parameter in VAE(vae).parameters())
    assert num_bytes < MAX_BUNDLE_BYTES - 2**19


def test_networks_of_another_kind_bring_their_own_entries(chosen):
    vae = chosen(GREY, "vae.encoder.kind=mlp", "vae.decoder.kind=mlp").recipe.vae
    assert vae.encoder.hidden == vae.decoder.hidden == (300, 300)


@pytest.mark.parametrize(("count", "latents"), [(200, 16), (1_000, 32), (5_000, 40)])
def test_few_pictures_get_few_latents(chosen, count, latents):
    assert chosen(seen(sizes={(28, 28): count})).recipe.vae.latent_shape == (latents,)


def test_few_pictures_get_a_mixture_for_a_prior_and_many_a_standard_normal(chosen):
    few, many = chosen(seen(sizes={(28, 28): 300})).recipe, chosen(GREY).recipe
    assert (few.vae.prior.kind, few.objective.kl) == ("mixture", "sampled")
    assert (many.vae.prior.kind, many.objective.kl) == ("standard_normal", "analytic")
    asked = chosen(seen(sizes={(28, 28): 300}), "vae.prior.kind=standard_normal").recipe
    assert (asked.vae.prior.kind, asked.objective.kl) == ("standard_normal", "analytic")


@pytest.mark.parametrize("kind", ["mixture", "vamp"])
def test_a_prior_that_is_a_mixture_has_its_kl_sampled(chosen, kind):
    objective = chosen(GREY, f"vae.prior.kind={kind}").recipe.objective
    assert (objective.kind, objective.kl) == ("elbo", "sampled")
    assert chosen(GREY, "objective.num_samples=3").recipe.objective.num_samples == 3


@pytest.mark.parametrize(
    ("purpose", "likelihood", "prior", "beta"),
    [
        (None, "discretized_logistic", "standard_normal", 1.0),
        ("density", "discretized_logistic", "standard_normal", 1.0),
        ("anomaly", "discretized_logistic", "standard_normal", 1.0),
        ("samples", "discretized_logistic", "mixture", 1.0),
        ("embeddings", "discretized_normal", "standard_normal", 1.0),
        ("reconstruction", "discretized_normal", "standard_normal", 0.3),
    ],
)
def test_likelihood_prior_and_beta_suit_what_the_model_is_for(
    chosen, purpose, likelihood, prior, beta
):
    recipe = chosen(GREY, purpose=purpose).recipe
    assert (recipe.vae.likelihood.kind, recipe.vae.prior.kind) == (likelihood, prior)
    assert recipe.objective.beta == beta
    if likelihood == "discretized_normal":
        assert recipe.vae.likelihood.scale == "learned"


def test_a_purpose_gives_its_reasons_and_overrules_no_entry(chosen):
    told = reasons(chosen(GREY, purpose="reconstruction"))
    assert "one scale for all pixels, because the decoder cannot" in told["likelihood"]
    assert "0.3, because latents that cost less" in told["weight of the KL"]
    assert "a high one is no proof" in reasons(chosen(GREY, purpose="anomaly"))["likelihood"]
    assert "samples are drawn there" in reasons(chosen(GREY, purpose="samples"))["prior"]
    kept = chosen(GREY, "objective.beta=2.0", "image.levels=2", purpose="reconstruction").recipe
    assert (kept.objective.beta, kept.vae.likelihood.kind) == (2.0, "bernoulli")


def test_latents_that_are_to_hold_everything_are_not_relieved_of_the_class(chosen):
    described = seen(classes=None)
    for purpose, labels in [("embeddings", 0), ("reconstruction", 0), ("samples", 10)]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                chooser, "find_classes", lambda dataset: Classes(10, 300, (0.1,) * 10, "")
            )
            assert chosen(described, purpose=purpose).recipe.vae.num_labels == labels
            assert chosen(described, "vae.num_labels=10", purpose=purpose).recipe.vae.num_labels


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], True),
        (["vae.likelihood.kind=discretized_normal"], True),
        (["vae.likelihood.kind=normal"], False),
        (["image.levels=2"], False),
        (["vae.latent_shape=[4, 4, 4]"], False),
        (["vae.posterior.kind=full_normal"], True),
        (["vae.principal_path=false"], False),
    ],
)
def test_models_of_levels_begin_at_principal_components(chosen, overrides, expected):
    result = chosen(GREY, *overrides)
    assert result.recipe.vae.principal_path == expected
    assert ("start" in reasons(result)) == expected


def test_the_reason_for_the_start_says_what_networks_learn_then(chosen):
    assert reasons(chosen(GREY))["start"] == (
        "start: the pictures' principal components, because networks then learn what a PCA of as "
        "many numbers leaves out of a picture."
    )
