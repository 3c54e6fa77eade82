"""Every combination that a recipe can name: one step, saved, loaded and scored; or refused, why.

The tables below are the whole product of objectives with kinds of models; likelihoods, networks and
precisions take turns over it.
"""

from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from models.bundle.loading import load_bundle
from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation
from tests.models.bundle_cases import PROVENANCE
from training.data.datasets import load
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.pictures import draw_samples, reconstruct_some
from training.evaluation.trained import load_best_weights
from training.export.card import write_card
from training.fit.batches import Data, keep_labels
from training.fit.classical import CLASSICAL, fit_classical
from training.fit.step import take_step
from training.fit.train import look, validate_and_log
from training.fit.training import start_training
from training.recipes.file import to_toml
from training.recipes.objective import ClassicalKind
from training.recipes.recipe import RULES, Recipe
from training.runs.folder import read_run

pytestmark = pytest.mark.slow

MLP = {"kind": "mlp", "hidden": [7]}
GATED = {"kind": "gated_mlp", "hidden": [6]}
CONV = {"kind": "conv", "channels": [4], "blocks": [1]}
AFFINE = {"kind": "mlp", "hidden": []}
TOP_DOWN = {
    "latent_shape": (10,),
    "latent_groups": ((2, 2, 2), (2,)),
    "prior": {"kind": "top_down", "network": MLP},
}

OBJECTIVES: dict[str, dict[str, Any]] = {
    "elbo": {"kind": "elbo"},
    "beta, sampled": {"kind": "elbo", "beta": 4.0, "kl": "sampled", "num_samples": 2},
    "path": {"kind": "elbo", "gradient": "path"},
    "free bits": {"kind": "elbo", "free_bits_nats": 0.5},
    "capacity": {"kind": "capacity"},
    "iwae": {"kind": "iwae", "num_samples": 3},
    "stl": {"kind": "iwae", "num_samples": 1, "gradient": "stl"},
    "dreg": {"kind": "iwae", "num_samples": 3, "gradient": "dreg"},
    "score function": {"kind": "score_function", "num_samples": 3},
    "m2": {"kind": "m2", "num_samples": 2},
    "autoencoder": {"kind": "autoencoder"},
    "ppca": {"kind": "ppca"},
    "pca": {"kind": "pca"},
    "gaussian mixture": {"kind": "gaussian_mixture"},
}
PRIORS: dict[str, dict[str, Any]] = {
    "standard_normal": {},
    "mixture": {"prior": {"kind": "mixture", "num_components": 3}},
    "vamp": {"prior": {"kind": "vamp", "num_components": 4}},
    "label_normal": {"prior": {"kind": "label_normal"}},
    "categorical": {"prior": {"kind": "categorical"}},
    "top_down": TOP_DOWN,
    "none": {"prior": {"kind": "none"}},
}
POSTERIORS: dict[str, dict[str, Any]] = {
    "diagonal_normal": {},
    "full_normal": {"posterior": {"kind": "full_normal"}},
    "bottom_up": {"posterior": {"kind": "bottom_up", "network": MLP}},
    "ladder": {"posterior": {"kind": "ladder", "network": MLP}},
    "enumerated": {"posterior": {"kind": "enumerated"}},
    "point": {"posterior": {"kind": "point"}},
}
LABELS: dict[str, dict[str, Any]] = {
    "no labels": {},
    "labels": {"num_labels": 3},
    "some labels": {"num_labels": 3, "classifier": MLP},
}
LIKELIHOODS: list[dict[str, Any]] = [
    {"kind": "bernoulli"},
    {"kind": "continuous_bernoulli"},
    {"kind": "discretized_logistic", "levels": 17, "num_mixtures": 2},
    {"kind": "discretized_normal", "levels": 17},
    {"kind": "normal", "scale": "learned"},
    {"kind": "normal", "scale": "per_pixel"},
]
UNIT = ("continuous_bernoulli", "normal", "point")
NETWORKS = [MLP, GATED, CONV]
PRECISIONS = ["32-true", "bf16-mixed", "64-true"]
SETTINGS = EvaluationSettings(
    elbo_num_samples=2, iwae_num_samples=2, subset_num_images=3, subset_num_samples=(3,)
)

Case = tuple[str, str, str, str]
CASES: list[Case] = list(product(OBJECTIVES, PRIORS, POSTERIORS, LABELS))


def values_of(case: Case, turn: int = 0) -> dict[str, Any]:
    """A recipe of the case for 4x4 pictures, with the likelihood and networks whose turn it is."""
    objective, prior, posterior, labels = case
    likelihood, network = LIKELIHOODS[turn % 6], NETWORKS[turn % 3]
    encoder: dict[str, Any] | None = NETWORKS[turn // 3 % 3]
    if posterior == "point":
        likelihood = {"kind": "point"}
    if posterior == "enumerated":
        likelihood, encoder = LIKELIHOODS[5], None
    if OBJECTIVES[objective]["kind"] in get_args(ClassicalKind):
        encoder, network = None if encoder is None else AFFINE, AFFINE
        likelihood = LIKELIHOODS[4] if objective == "ppca" else likelihood
    binary = {"levels": 2, "binarization": "stochastic"}
    levels = binary if likelihood["kind"] == "bernoulli" else {"levels": 17}
    values = "unit" if likelihood["kind"] in UNIT else "integer"
    few = {"labels_per_class": 2} if labels == "some labels" and objective == "m2" else {}
    return {
        "name": "family",
        "dataset": {"name": "digits", **few},
        "image": {"channels": 1, "height": 4, "width": 4, "values": values, **levels},
        "vae": {
            "latent_shape": (2,),
            "likelihood": likelihood,
            "encoder": encoder,
            "decoder": network,
            **PRIORS[prior],
            **POSTERIORS[posterior],
            **LABELS[labels],
        },
        "objective": OBJECTIVES[objective],
        "training": {"epochs": 2, "batch_size": 8, "precision": PRECISIONS[turn // 2 % 3]},
    }


def refusal_of(case: Case) -> str | None:
    """What the config says of the case; None where it allows it."""
    try:
        Recipe.model_validate(values_of(case))
    except ValidationError as error:
        (reason,) = error.errors()
        return str(reason["msg"])
    return None


REFUSALS = {case: refusal_of(case) for case in CASES}
ALLOWED = [case for case, refusal in REFUSALS.items() if refusal is None]

VARIATIONS = (
    "elbo",
    "beta, sampled",
    "free bits",
    "capacity",
    "iwae",
    "stl",
    "dreg",
    "score function",
)
ONE_LAYER = {
    *product(("standard_normal", "mixture"), ("diagonal_normal", "full_normal")),
    ("vamp", "diagonal_normal"),
}
GIVEN = {
    *product(("standard_normal", "mixture", "label_normal"), ("diagonal_normal", "full_normal"))
}
LAYERS = {("top_down", "bottom_up"), ("top_down", "ladder")}


def expected() -> set[Case]:
    """What can be trained, said once more: by families."""
    cases: set[Case] = set()
    for objective in VARIATIONS:
        layers = {("top_down", "ladder")} if objective == "free bits" else LAYERS
        cases |= {(objective, p, q, "no labels") for p, q in ONE_LAYER | layers}
        cases |= {(objective, p, q, "labels") for p, q in GIVEN | layers}
    # Where the KL has no closed form.
    for prior, posterior in [*ONE_LAYER, ("top_down", "bottom_up")]:
        if prior != "standard_normal":
            cases.add(("path", prior, posterior, "no labels"))
    for posterior in ("diagonal_normal", "full_normal"):
        cases.add(("path", "mixture", posterior, "labels"))
    cases.add(("path", "top_down", "bottom_up", "labels"))
    cases |= {("m2", p, q, "some labels") for p, q in GIVEN | LAYERS}
    return cases | {
        ("autoencoder", "none", "point", "no labels"),
        ("pca", "none", "point", "no labels"),
        ("ppca", "standard_normal", "diagonal_normal", "no labels"),
        ("gaussian mixture", "categorical", "enumerated", "no labels"),
    }


def test_what_can_be_combined_is_what_the_families_say():
    assert set(ALLOWED) == expected()
    assert len(CASES) == 14 * 7 * 6 * 3


def test_what_the_recipe_refuses_names_an_entry_first_and_a_fix_last():
    entries = {rule.entry for rule in RULES}
    refused = [refusal for case, refusal in REFUSALS.items() if refusal and "Add --set" in refusal]
    for refusal in refused:
        message = refusal.removeprefix("Value error, ")
        assert message.startswith(tuple(entries))
        assert ". Add --set " in message
    assert len(refused) > 100


REFUSED = {
    ("elbo", "vamp", "full_normal", "no labels"): "does not go with vae.prior.kind = 'vamp'",
    (
        "elbo",
        "vamp",
        "diagonal_normal",
        "labels",
    ): "does not go with vae.prior.kind = 'vamp', which takes no labels",
    (
        "elbo",
        "label_normal",
        "diagonal_normal",
        "no labels",
    ): "vae.num_labels = 0 is too few for vae.prior.kind",
    ("elbo", "standard_normal", "ladder", "no labels"): "does not go with vae.posterior.kind",
    ("elbo", "top_down", "diagonal_normal", "no labels"): "does not go with vae.prior.kind",
    ("elbo", "none", "diagonal_normal", "no labels"): "does not go with vae.prior.kind = 'none'",
    ("elbo", "none", "point", "no labels"): "objective.kind = 'elbo' needs distributions",
    ("elbo", "categorical", "enumerated", "no labels"): "only 'gaussian_mixture' can",
    (
        "elbo",
        "categorical",
        "diagonal_normal",
        "no labels",
    ): "does not go with vae.prior.kind = 'categorical'",
    ("elbo", "standard_normal", "diagonal_normal", "some labels"): "only 'm2' does",
    ("m2", "standard_normal", "diagonal_normal", "labels"): "vae.classifier is missing",
    ("path", "top_down", "ladder", "no labels"): "objective.gradient = 'path' has no effect on",
    ("path", "label_normal", "full_normal", "labels"): "objective.gradient = 'path' has no effect",
    ("free bits", "top_down", "bottom_up", "no labels"): "objective.free_bits_nats = 0.5 does not",
    (
        "autoencoder",
        "standard_normal",
        "diagonal_normal",
        "no labels",
    ): "needs 'point' and no prior",
    ("ppca", "mixture", "diagonal_normal", "no labels"): "vae.prior.kind = 'mixture' with",
    ("ppca", "standard_normal", "full_normal", "no labels"): "vae.posterior.kind = 'full_normal'",
    ("gaussian mixture", "mixture", "diagonal_normal", "no labels"): "which needs 'enumerated'",
}


@pytest.mark.parametrize("case", REFUSED, ids="-".join)
def test_a_combination_that_is_none_is_refused_with_the_reason(case: Case):
    refusal = REFUSALS[case]
    assert refusal is not None
    assert REFUSED[case] in refusal


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Levels 0..16 of 24 pictures, their labels, and ten more observations on the unit scale."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 17, (24, 1, 4, 4), generator=generator, dtype=torch.uint8)
    return levels, torch.arange(24) % 3, torch.rand(10, 1, 4, 4, generator=generator)


def data_for(recipe: Recipe, pictures: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> Data:
    levels, labels, unit = pictures
    held_out = unit if recipe.image.values == "unit" else (unit * recipe.image.levels).floor()
    given = bool(recipe.vae.num_labels)
    if recipe.dataset.labels_per_class:
        labels = keep_labels(labels, recipe.dataset.labels_per_class, seed=0)
    return Data(
        cache=levels * 15 if recipe.image.levels == 2 else levels,
        labels=labels if given else None,
        validation=held_out,
        validation_labels=torch.arange(10) % 3 if given else None,
        sha256="ab" * 32,
    )


def trained(recipe: Recipe, data: Data, run_dir: Path) -> None:
    """One step and its validation, or the fit."""
    run_dir.mkdir()
    (run_dir / "recipe.toml").write_text(to_toml(recipe))
    if recipe.objective.kind in CLASSICAL:
        fit_classical(recipe, data, run_dir=run_dir)
        return
    training = start_training(recipe, data, run_dir=run_dir, device="cpu")
    before = {name: p.detach().clone() for name, p in training.vae.named_parameters()}
    take_step(training, torch.arange(8))
    look(training)
    assert training.done.skipped_steps == 0
    is_free = getattr(recipe.objective, "free_bits_nats", 0) > 0  # a KL below has no gradient
    moved = [
        not torch.equal(p, before[n])
        for n, p in training.vae.named_parameters()
        if not (is_free and n.startswith("_prior."))
    ]
    assert sum(moved) >= 0.75 * len(moved)  # labels of no image of the batch stay where they are
    assert isfinite(validate_and_log(training)["validation_bound_nats"])


@pytest.mark.parametrize("case", ALLOWED, ids="-".join)
def test_one_step_is_taken_saved_loaded_and_scored(
    case: Case, pictures: tuple[torch.Tensor, torch.Tensor, torch.Tensor], tmp_path: Path
):
    recipe = Recipe.model_validate(values_of(case, ALLOWED.index(case)))
    data = data_for(recipe, pictures)
    trained(recipe, data, tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert run.recipe == recipe
    vae, _ = load_best_weights(run)

    x, labels = data.validation, data.validation_labels
    evaluation = evaluate(vae, x, labels=labels, dataset="digits", settings=SETTINGS)
    config = BundleConfig(
        name="family",
        version=1,
        vae=recipe.vae,
        image=recipe.image,
        labels=("a", "b", "c") if recipe.vae.num_labels else (),
        provenance=PROVENANCE.model_copy(update={"recipe": to_toml(recipe)}),
    )
    card = write_card(config, evaluation, load("digits"), vae)
    assert ("$MODEL/elbo" in card) == vae.has_density
    save_bundle(
        tmp_path / "family" / "1",
        vae=vae,
        config=config,
        evaluation=evaluation,
        card=card,
        pictures={},
        parity_inputs=x[:8],
    )
    bundle = load_bundle(tmp_path / "family" / "1")
    assert evaluate(bundle.vae, x, labels=labels, dataset="digits", settings=SETTINGS) == evaluation
    check(evaluation, recipe)
    assert reconstruct_some(bundle.vae, x[:8]).shape == (16, 1, 4, 4)
    if bundle.vae.has_density:
        assert draw_samples(bundle.vae, 4).isfinite().all()


def check(evaluation: Evaluation, recipe: Recipe) -> None:
    """Scores are there where the family has them, finite and in order."""
    if recipe.vae.likelihood.kind == "point":
        assert evaluation.estimates == ()
        assert evaluation.squared_error > 0
        return
    estimators = [estimate.estimator for estimate in evaluation.estimates]
    exact = recipe.objective.kind in ("ppca", "gaussian_mixture")
    assert estimators == (["elbo", "exact"] if exact else ["elbo", "iwae", "iwae", "iwae"])
    total = evaluation.rate_nats + evaluation.distortion_nats
    assert total == pytest.approx(-evaluation.estimates[0].mean_nats, rel=1e-6)
    assert (evaluation.classification is not None) == bool(recipe.vae.num_labels)
    assert len(evaluation.kl_per_group_nats) == len(recipe.vae.latent_groups)
