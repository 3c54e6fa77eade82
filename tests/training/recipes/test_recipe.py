"""What goes together in a recipe: each refusal names its entry and a fix that mends it."""

import shlex

import pytest

from models.errors import ConfigError
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import RULES, quote

NO_WARMUP = "training.kl_warmup_epochs=0"
PLAIN_NETWORKS = ['vae.encoder={kind="mlp",hidden=[]}', 'vae.decoder={kind="mlp",hidden=[]}']
UNIT_NORMAL = ['vae.likelihood={kind="normal",scale="fixed"}', "image.values=unit"]

# (recipe, overrides, entry at fault, what the message says)
BROKEN = [
    (
        "digits-pca",
        ['objective={kind="elbo"}', "training.epochs=1"],
        "objective.kind",
        "objective.kind = 'elbo' needs distributions",
    ),
    (
        "digits",
        ["objective.kind=autoencoder", NO_WARMUP],
        "vae.posterior.kind",
        "vae.posterior.kind = 'diagonal_normal' does not go with objective.kind = 'autoencoder'",
    ),
    (
        "digits-gaussian-mixture",
        ["objective.kind=elbo", "training.epochs=1"],
        "objective.kind",
        "objective.kind = 'elbo' cannot train vae.posterior.kind = 'enumerated'",
    ),
    (
        "digits",
        ["objective.kind=gaussian_mixture", NO_WARMUP],
        "vae.posterior.kind",
        "which needs 'enumerated'",
    ),
    (
        "digits-ppca",
        ["vae.decoder.hidden=[3]"],
        "objective.kind",
        "objective.kind = 'ppca' needs networks without hidden layers",
    ),
    (
        "digits-m2",
        ['objective={kind="elbo"}'],
        "objective.kind",
        "objective.kind = 'elbo' does not train vae.classifier; only 'm2' does",
    ),
    (
        "digits-labelled",
        ['objective={kind="m2"}'],
        "vae.classifier",
        "vae.classifier is missing: objective.kind = 'm2' trains one",
    ),
    (
        "digits-ppca",
        ['vae.posterior={kind="full_normal"}'],
        "vae.prior.kind",
        "vae.posterior.kind = 'full_normal' does not go with objective.kind = 'ppca'",
    ),
    (
        "digits-ppca",
        ['vae.prior={kind="mixture"}'],
        "vae.prior.kind",
        "vae.prior.kind = 'mixture' with",
    ),
    (
        "digits-gaussian-mixture",
        ["vae.likelihood.scale=learned"],
        "vae.likelihood",
        "needs a normal with a scale per pixel",
    ),
    ("digits-ppca", UNIT_NORMAL, "vae.likelihood", "needs a normal with one learned scale"),
    ("digits-ppca", ["vae.num_labels=10"], "vae.num_labels", "vae.num_labels = 10 does not"),
    ("digits-pca", ["vae.latent_shape=[64]"], "vae.latent_shape", "fewer components than the 64"),
    (
        "digits",
        ["dataset.labels_per_class=3"],
        "dataset.labels_per_class",
        "dataset.labels_per_class = 3 does not go with objective.kind = 'elbo'",
    ),
    (
        "digits-ladder",
        ['objective={kind="elbo",gradient="path"}'],
        "objective.gradient",
        "that vae.prior.kind = 'top_down' with vae.posterior.kind = 'ladder' has",
    ),
    (
        "digits",
        ['objective={kind="elbo",gradient="path"}'],
        "objective.gradient",
        "objective.gradient = 'path' has no effect on the closed form of the KL",
    ),
    (
        "digits-two-layers",
        ['objective={kind="elbo",free_bits_nats=0.5}'],
        "objective.free_bits_nats",
        "objective.free_bits_nats = 0.5 does not go with vae.posterior.kind = 'bottom_up'",
    ),
    (
        "digits",
        ['objective={kind="score_function",num_samples=1}', NO_WARMUP],
        "objective.num_samples",
        "objective.num_samples = 1 is too few for objective.baseline = 'leave_one_out'",
    ),
    (
        "digits",
        ["augmentation.crop_pixels=8", "augmentation.probability=1"],
        "augmentation.crop_pixels",
        "augmentation.crop_pixels = 8 is too large for images of 8x8; the limit is 7",
    ),
    (
        "digits",
        ["objective.kind=capacity"],
        "training.kl_warmup_epochs",
        "training.kl_warmup_epochs = 20 does not go with objective.kind = 'capacity'",
    ),
    (
        "digits",
        ['objective={kind="iwae",gradient="dreg"}'],
        "training.kl_warmup_epochs",
        "objective.kind = 'iwae' with gradient = 'dreg'",
    ),
    (
        "digits-capacity",
        ["training.kl_cycles=2"],
        "training.kl_cycles",
        "training.kl_cycles = 2 does not go with objective.kind = 'capacity'",
    ),
    (
        "digits",
        ["training.kl_cycles=2", NO_WARMUP],
        "training.kl_cycles",
        "training.kl_cycles = 2 repeats the KL's warm-up, but training.kl_warmup_epochs is 0",
    ),
    (
        "digits",
        ["training.kl_cycles=12"],
        "training.kl_warmup_epochs",
        "training.kl_warmup_epochs = 20 is longer than a cycle of 10 epochs (120 epochs in 12",
    ),
    (
        "digits",
        ["training.keep=label_accuracy"],
        "training.keep",
        "training.keep = 'label_accuracy' needs a model with vae.classifier",
    ),
    (
        "mnist-elbo",
        ["training.centre_inputs=true"],
        "training.centre_inputs",
        "training.centre_inputs = true needs an encoder that is trained step by step, and",
    ),
    (
        "digits-pca",
        ["training.centre_inputs=true", "training.epochs=1"],
        "training.centre_inputs",
        "training.centre_inputs = true needs an encoder that is trained step by step, and",
    ),
    (
        "digits-pca",
        ["training.start_from_marginal=true", "training.epochs=1"],
        "training.start_from_marginal",
        "training.start_from_marginal = true does not go with objective.kind = 'pca'",
    ),
    (
        "digits",
        [
            'vae.encoder={kind="autoencoder_kl"}',
            'vae.decoder={kind="autoencoder_kl"}',
            'vae.prior={kind="none"}',
            'vae.likelihood={kind="point"}',
            "vae.latent_shape=[1,8,8]",
            "image.values=unit",
        ],
        "vae.encoder.kind",
        "vae.encoder.kind = 'autoencoder_kl' is not trained here; vae-lab import-diffusers makes",
    ),
]


def refusal(recipe: str, overrides: list[str]) -> ConfigError | None:
    try:
        load_recipe(RECIPES / f"{recipe}.toml", overrides=overrides)
    except ConfigError as error:
        return error
    return None


@pytest.mark.parametrize(("recipe", "overrides", "entry", "words"), BROKEN)
def test_a_refusal_names_the_entry_and_the_fix_in_it_mends_it(
    recipe: str, overrides: list[str], entry: str, words: str
) -> None:
    error = refusal(recipe, overrides)
    assert error is not None
    assert words in str(error)
    assert error.details["parameter"] == entry
    assert str(error).endswith(f"Add {error.details['suggestion']}.")
    flags = shlex.split(error.details["suggestion"])
    assert set(flags[::2]) == {"--set"}
    mended = refusal(recipe, [*overrides, *flags[1::2]])
    assert mended is None or words not in str(mended)


def test_every_rule_is_broken_by_an_example() -> None:
    refused = [refusal(recipe, overrides) for recipe, overrides, *_ in BROKEN]
    for rule in RULES:
        start = rule.message.partition("{")[0]
        assert any(start in str(error) for error in refused), rule


def test_a_classical_model_needs_no_training_table() -> None:
    assert load_recipe(RECIPES / "digits-ppca.toml").training.epochs == 1


def test_an_override_is_quoted_where_a_shell_would_split_it() -> None:
    assert quote("seed=2") == "seed=2"
    for override in ('vae.prior={kind="none"}', "vae.latent_shape=[3]", "name=a b"):
        assert shlex.split(quote(override)) == [override]
