"""Gradient variances, against their closed form for the linear-Gaussian oracle."""

import math
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch

from models.errors import InputError, UnsupportedOperation
from tests import oracle
from tests.training.trained_cases import of_family, of_oracle
from training.fit.objectives import Batch
from training.recipes.objective import ELBOConfig, IWAEConfig, ScoreFunctionConfig
from training.studies.gradients import (
    BLOCKS,
    GradientRow,
    block_moments,
    encoder_parameters,
    estimators,
    gradient_variance,
    gradients,
    row_of,
    summarise,
    trainable_copy,
)

pytestmark = pytest.mark.slow


def exact_variance(instance: oracle.Oracle, x: torch.Tensor) -> float:
    """Trace of the covariance of the reparameterised ELBO's encoder gradient at one draw.

    With A = W'W / s^2 (diagonal), a = W'(x - W m - b) / s^2 and z = m + r e, the loss's random part
    has d/dm_j = -(a_j - A_jj r_j e_j) and d/dr_j = -e_j (a_j - A_jj r_j e_j), so that their
    variances are (A_jj r_j)^2 and a_j^2 + 2 (A_jj r_j)^2; r_j = softplus(raw_j). Each of them is
    multiplied by the encoder's inputs, 2 x - 1 and 1.
    """
    loc, scale = instance.exact_posterior(x)
    r, m = instance.posterior_scale * scale, loc + instance.posterior_shift * scale
    w, s = instance.loading, instance.noise_scale
    curvature = w.square().sum(0) / s**2
    residual = (x.flatten(1) - m @ w.T - instance.bias) @ w / s**2
    slope = 1 - torch.exp(-r)  # of softplus where it is r
    of_loc = (curvature * r).square().sum()
    of_scale = (slope.square() * (residual.square() + 2 * (curvature * r).square())).sum(1)
    inputs = 1 + (2 * x.flatten(1) - 1).square().sum(1)
    return float((inputs * (of_loc + of_scale)).sum() / len(x) ** 2)


def test_the_variance_is_the_closed_form_and_falls_as_one_over_the_samples() -> None:
    instance = oracle.instance("medium")
    x = instance.draw(3)
    vae, expected = trainable_copy(instance.vae), exact_variance(instance, x)
    for count in (1, 4):
        estimator = ("ELBO", "reparameterised", ELBOConfig(num_samples=count))
        row = row_of(vae, Batch(x), estimator, draws=500, seed=0)
        assert row.draws == 500
        assert abs(row.variance - expected / count) < 4 * row.variance_error
        assert row.variance_error < 0.1 * row.variance


def test_all_estimators_of_a_bound_have_the_same_expected_gradient() -> None:
    instance = oracle.instance("easy")
    vae = trainable_copy(instance.vae)
    batch, draws = Batch(instance.draw(2)), 600
    means, errors = [], []
    for config in (
        ELBOConfig(num_samples=4),
        ScoreFunctionConfig(num_samples=4, baseline="none"),
        ScoreFunctionConfig(num_samples=4, baseline="leave_one_out"),
    ):
        found = torch.stack(list(gradients(vae, batch, config, draws=draws, seed=1)))
        assert len(found) == draws
        means.append(found.mean(0))
        errors.append(found.std(0) / math.sqrt(draws))
    for mean, error in zip(means[1:], errors[1:], strict=True):
        assert bool(((mean - means[0]).abs() < 5 * error + 5 * errors[0]).all())


def by_estimator(instance: oracle.Oracle) -> dict[str, GradientRow]:
    """Rows of the ELBO's estimators at four draws."""
    model = of_oracle(instance, instance.draw(4))
    rows = gradient_variance(model, num_images=4, num_samples=(4,), draws=100)
    return {row.estimator: row for row in rows if row.bound == "ELBO"}


def test_a_baseline_lessens_the_noise_and_reparameterising_lessens_it_more() -> None:
    settings = {"posterior_scale": 0.5, "posterior_shift": 1.0}
    rows = by_estimator(oracle.make(**{**oracle.INSTANCES["medium"], **settings}))
    order = ["reparameterised", "score function, baseline", "score function"]
    variances = [rows[name].variance for name in order]
    assert variances == sorted(variances)
    ratios = [rows[name].signal_to_noise for name in order]
    assert ratios == sorted(ratios, reverse=True)


def test_where_the_posterior_is_exact_the_baseline_takes_all_noise_away() -> None:
    rows = by_estimator(oracle.instance("easy"))
    assert rows["score function, baseline"].variance < 1e-12 * rows["reparameterised"].variance


def test_dreg_keeps_a_signal_that_the_plain_gradient_loses_with_k() -> None:
    instance = oracle.instance("easy")
    worse = oracle.make(**{**oracle.INSTANCES["easy"], "posterior_scale": 0.8})
    vae, batch = trainable_copy(worse.vae), Batch(instance.draw(4))

    def ratio(gradient: Literal["plain", "dreg"], count: int) -> float:
        config = IWAEConfig(num_samples=count, gradient=gradient)
        return row_of(vae, batch, ("IWAE", gradient, config), draws=400, seed=0).signal_to_noise

    assert ratio("plain", 64) < ratio("plain", 2)
    assert ratio("dreg", 64) > ratio("dreg", 2)


def test_blocks_and_jackknife_on_known_gradients() -> None:
    values = [torch.tensor([float(i % 2), 3.0]) for i in range(4 * BLOCKS)]
    means, variances, size = block_moments(iter(values), size=4)
    assert means.tolist() == [[0.5, 3.0]] * BLOCKS
    assert variances.tolist() == pytest.approx([1 / 3] * BLOCKS)
    variance, error, ratio, ratio_error = summarise(means, variances, size)
    assert (variance, error) == pytest.approx((1 / 3, 0.0))
    squared = 0.25 + 9 - (1 / 3) / (4 * BLOCKS)
    assert ratio == pytest.approx(math.sqrt(squared / (1 / 3)))
    assert ratio_error < 1e-2


def test_the_signals_square_is_unbiased_and_noise_alone_has_none() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.full((5,), 0.1, dtype=torch.float64)
    squares, ratios = [], []
    for _ in range(200):
        noise = torch.randn(4 * BLOCKS, 5, generator=generator, dtype=torch.float64)
        found = summarise(*block_moments(iter(noise + truth), size=4))
        squares.append(found[0])
        ratios.append(summarise(*block_moments(iter(noise), size=4))[2])
    assert sum(squares) / 200 == pytest.approx(5, rel=0.02)
    assert ratios.count(0.0) > 50
    constant = [torch.ones(2)] * (2 * BLOCKS)
    assert summarise(*block_moments(iter(constant), size=2))[2] == 0.0


def test_each_family_has_the_estimators_that_its_parts_allow() -> None:
    names = {
        name: [(bound, found) for bound, found, _ in estimators(of_family(name).vae, (1, 3))]
        for name in ("standard", "vamp", "two-layers")
    }
    assert names["standard"].count(("IWAE", "dreg")) == 2
    assert names["two-layers"].count(("IWAE", "dreg")) == 2
    assert ("IWAE", "dreg") not in names["vamp"]
    assert names["vamp"].count(("ELBO", "score function, baseline")) == 1
    kinds = [config for *_, config in estimators(of_family("standard").vae, (3,))]
    assert IWAEConfig(num_samples=3, gradient="dreg") in kinds
    assert all(config.num_samples == 3 for config in kinds)


@pytest.mark.parametrize("name", ["standard", "vamp", "full", "ladder", "m2", "label-prior"])
def test_every_family_with_an_encoder_has_gradients_and_stays_as_it_was(name: str) -> None:
    model = of_family(name)
    rows = gradient_variance(model, num_images=3, num_samples=(2,), draws=20)
    assert all(row.variance > 0 and row.variance_error > 0 for row in rows)
    assert not any(parameter.requires_grad for parameter in model.vae.parameters())


def test_a_hierarchys_posterior_counts_as_encoder() -> None:
    vae = trainable_copy(of_family("two-layers").vae)
    moved = {name for name, p in vae.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in moved} == {"encoder", "_posterior"}
    assert len(encoder_parameters(vae)) == len(moved)


def test_what_has_no_such_gradient_is_refused() -> None:
    for name, words in (("autoencoder", "an autoencoder"), ("categorical", "is a mixture")):
        with pytest.raises(UnsupportedOperation, match=words):
            gradient_variance(of_family(name))
    with pytest.raises(UnsupportedOperation, match="those of digits have none"):
        gradient_variance(replace(of_family("m2"), labels=None))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": 19}, r"draws=19 is too few.*Take --draws 20\."),
        ({"num_images": 0}, r"images=0 is too few.*Take --images 1\."),
        ({"num_samples": ()}, r"samples=0 is too few"),
        ({"num_samples": (2, 0)}, r"samples=0 is too few.*Take --samples 1\."),
    ],
)
def test_too_few_draws_images_or_samples_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gradient_variance(of_family("standard"), **change)
