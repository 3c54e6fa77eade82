"""A mixture prior starts at the posteriors of a trained model, by expectation-maximisation."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from models.vae.model import VAE
from training.fit import step as hot
from training.fit import train as loop
from training.fit import training as starting
from training.fit.batches import load_data
from training.fit.mixture_prior import (
    Mixture,
    encode,
    expected_log_prob,
    fit_mixture,
    improve,
    start_mixture_prior,
)
from training.fit.objectives import UNLABELLED
from training.fit.training import start_training
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT
from training.runs.folder import BEST, read_state

MIXTURE = 'vae.prior={kind="mixture",num_components=6}'


def posteriors(count: int = 3_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Means in four clouds of different weights, and variances, of three dimensions."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.tensor([[4.0, 0, 0], [-4, 0, 1], [0, 5, 0], [0, -5, -2]], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    which = torch.multinomial(weights, count, replacement=True, generator=generator)
    noise = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    variance = 0.1 + 0.4 * torch.rand(count, 3, generator=generator, dtype=torch.float64)
    return centres[which] + 0.5 * noise, variance


def fitted(mean: torch.Tensor, variance: torch.Tensor, num_components: int) -> list[Mixture]:
    return list(fit_mixture(mean, variance, num_components, torch.Generator().manual_seed(2)))


def test_the_expected_density_is_that_of_draws():
    mean, variance = posteriors(2)
    mixture = fitted(*posteriors(100), 3)[-1]
    draws = mean + variance.sqrt() * torch.randn(200_000, 2, 3, dtype=torch.float64)
    normals = Independent(Normal(mixture.loc, mixture.variance.sqrt()), 1)
    sampled = normals.log_prob(draws.unsqueeze(2))
    error = 5 * sampled.std(0) / math.sqrt(len(draws))
    assert bool(
        ((sampled.mean(0) - expected_log_prob(mixture, mean, variance)).abs() < error).all()
    )


@pytest.mark.parametrize("has_width", [True, False], ids=["posteriors", "points"])
def test_no_step_lowers_the_expected_log_prior(has_width: bool):
    mean, variance = posteriors()
    mixtures = fitted(mean, variance * has_width, 7)
    bounds = [improve(mixture, mean, variance * has_width)[0] for mixture in mixtures]
    assert len(bounds) > 5
    assert all(after >= before - 1e-9 for before, after in pairwise(bounds))
    assert bounds[-1] > bounds[0] + 1


def test_the_bound_of_points_is_their_log_likelihood():
    mean, _ = posteriors()
    mixture = fitted(mean, torch.zeros_like(mean), 4)[-1]
    normals = Independent(Normal(mixture.loc, mixture.variance.sqrt()), 1)
    other = MixtureSameFamily(Categorical(logits=mixture.log_weights), normals)
    bound, _ = improve(mixture, mean, torch.zeros_like(mean))
    assert bound == pytest.approx(float(other.log_prob(mean).mean()), rel=1e-9)


def test_a_known_mixture_is_found():
    mean, variance = posteriors(20_000)
    found = fitted(mean, variance, 4)[-1]
    order = found.log_weights.argsort(descending=True)
    weights = found.log_weights.exp()[order]
    assert weights == pytest.approx(torch.tensor([0.4, 0.3, 0.2, 0.1]).double(), abs=0.015)
    expected = torch.tensor([[4.0, 0, 0], [-4, 0, 1], [0, 5, 0], [0, -5, -2]]).double()
    assert torch.allclose(found.loc[order], expected, atol=0.1)
    # A component is as wide as its means are spread, 0.25, and as posteriors are on average, 0.3.
    assert torch.allclose(found.variance, torch.full((4, 3), 0.55).double(), rtol=0.1)


def test_it_is_what_scikit_learn_finds_from_the_same_start():
    mean, _ = posteriors()
    mixtures = fitted(mean, torch.zeros_like(mean), 5)
    first = mixtures[0]
    other = GaussianMixture(
        5,
        covariance_type="diag",
        tol=0,
        reg_covar=0,
        max_iter=len(mixtures) - 1,
        weights_init=first.log_weights.exp().numpy(),
        means_init=first.loc.numpy(),
        precisions_init=first.variance.reciprocal().numpy(),
    )
    with pytest.warns(Warning, match="did not converge"):
        other.fit(mean.numpy())
    last = mixtures[-1]
    assert last.log_weights.exp().numpy() == pytest.approx(other.weights_, rel=1e-6)
    assert last.loc.numpy() == pytest.approx(other.means_, rel=1e-6, abs=1e-8)
    assert last.variance.numpy() == pytest.approx(other.covariances_, rel=1e-6)


def test_posteriors_far_from_every_component_leave_it_in_place():
    mean = torch.zeros(10, 1, dtype=torch.float64)
    loc = torch.tensor([[0.0], [1e4]], dtype=torch.float64)
    before = Mixture(torch.tensor([0.5, 0.5]).double().log(), loc, torch.ones_like(loc))
    _, after = improve(before, mean, torch.ones_like(mean))
    assert torch.equal(after.loc[1], loc[1])
    assert float(after.log_weights[1].exp()) == pytest.approx(1e-10)
    assert bool(after.log_weights.isfinite().all())


def test_more_components_than_posteriors_are_allowed():
    mixture = fitted(*posteriors(3), 8)[-1]
    assert mixture.loc.shape == (8, 3)
    assert all(bool(part.isfinite().all()) for part in mixture)


def test_steps_are_the_same_for_the_same_seed():
    one, two = fitted(*posteriors(300), 4)[-1], fitted(*posteriors(300), 4)[-1]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def recipe(*overrides: str) -> Recipe:
    small = [
        "vae.encoder.hidden=[16]",
        "vae.decoder.hidden=[16]",
        "training.epochs=4",
        "training.validate_every_epochs=1",
        "training.kl_warmup_epochs=0",
    ]
    return load_recipe(RECIPES / "digits.toml", overrides=[*small, *overrides])


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a standard normal as its prior."""
    run_dir = tmp_path_factory.mktemp("runs") / "first"
    loop.train(recipe(), run_dir=run_dir, device="cpu", tensorboard=False)
    return run_dir


def test_a_run_with_a_mixture_starts_at_the_posteriors_of_one_without(first: Path):
    chosen = recipe("start=first", MIXTURE)
    data = load_data(chosen, None, Console())
    training = start_training(chosen, data, run_dir=first.parent / "second", device="cpu")
    weights = load_file(first / BEST)
    own = training.vae.state_dict()
    assert all(torch.equal(own[name], weight) for name, weight in weights.items())
    mixture = training.vae.prior()
    mean, variance = encode(training.vae, data, chosen, torch.arange(len(data.cache)))
    assert training.vae.training
    torch.manual_seed(0)
    z = (mean + variance.sqrt() * torch.randn_like(mean)).float()
    standard = Normal(torch.zeros(()), 1.0).log_prob(z).sum(1)
    gain_nats = float((mixture.log_prob(z) - standard).detach().mean())
    assert gain_nats > 1
    # What the prior gains, the bound gains: it was learned from other images than it is tried on.
    bound_nats = loop.validate(training.average, data, chosen.objective).bound_nats
    before = read_state(first)["best_validation_bound_nats"]
    assert bound_nats - before == pytest.approx(gain_nats, abs=0.5)


def test_a_mixture_that_the_start_has_is_kept(first: Path):
    loop.train(
        recipe("name=second", "start=first", MIXTURE, "training.max_steps=1"),
        run_dir=first.parent / "second",
        device="cpu",
        tensorboard=False,
    )
    chosen = recipe("name=third", "start=second", MIXTURE)
    data = load_data(chosen, None, Console())
    training = start_training(chosen, data, run_dir=first.parent / "third", device="cpu")
    for name, weight in load_file(first.parent / "second" / BEST).items():
        assert torch.equal(training.vae.state_dict()[name], weight)


def test_a_stopped_run_goes_on_exactly(first: Path, monkeypatch: pytest.MonkeyPatch):
    chosen = recipe("start=first", MIXTURE, "training.epochs=1", "training.checkpoint_seconds=1e-9")
    whole, stopped = first.parent / "whole", first.parent / "stopped"
    loop.train(chosen, run_dir=whole, device="cpu", tensorboard=False)
    update, calls = hot.update_average, 0

    def stop(averaged: list[Tensor], trained: list[Tensor], *, decay: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise RuntimeError("killed")
        update(averaged, trained, decay=decay)

    with monkeypatch.context() as patch:
        patch.setattr(hot, "update_average", stop)
        with pytest.raises(RuntimeError, match="killed"):
            loop.train(chosen, run_dir=stopped, device="cpu", tensorboard=False)
    with monkeypatch.context() as patch:
        patch.setattr(starting, "start_mixture_prior", None)  # it is in the checkpoint
        loop.train(chosen, run_dir=stopped, device="cpu", tensorboard=False, resume=True)
    states = [torch.load(path / CHECKPOINT, weights_only=True) for path in (whole, stopped)]
    for part in ("vae", "average"):
        for name, weight in states[0][part].items():
            assert torch.equal(weight, states[1][part][name])


def test_a_model_with_labels_takes_the_images_whose_label_is_known():
    chosen = recipe(
        MIXTURE,
        "vae.num_labels=10",
        'vae.classifier={kind="mlp",hidden=[8]}',
        'objective={kind="m2"}',
        "dataset.labels_per_class=3",
    )
    data = load_data(chosen, None, Console())
    vae = VAE(chosen.vae)
    start_mixture_prior(vae, data, chosen)
    (known,) = torch.where(data.labels != UNLABELLED)
    assert len(known) == 30
    mean, _ = encode(vae, data, chosen, known)
    prior = vae.prior_module
    centre = prior.logits.softmax(0) @ prior.loc
    assert torch.allclose(centre.double(), mean.mean(0), atol=1e-5)
