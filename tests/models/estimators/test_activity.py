"""Activity against exact means and variances of linear hierarchies; float64."""

import pytest
import torch

from models.distributions.batch_noise import BatchNoise
from models.estimators.activity import active_units, activity, prior_variance, two_means_steps
from models.estimators.labels import guess_steps
from models.estimators.steps import run_steps
from models.vae import VAE
from tests.models.family_cases import family
from tests.oracle import instance, two_layers

ROWS = 50_000


def two_means(vae, x, *, seed=0, first_item=0, chunk_rows=ROWS):
    steps = two_means_steps(vae, x, seed=seed, first_item=first_item, chunk_rows=chunk_rows)
    return run_steps(steps)


def moved(loc):
    """Terms whose mean is the variance."""
    return (loc - loc.mean(0)).square() * len(loc) / (len(loc) - 1)


def assert_mean_zero(terms):
    error = terms.std(0) / len(terms) ** 0.5
    assert bool((terms.mean(0).abs() <= 5 * error).all())


def pictures(count):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1)).round().double()


def test_the_activity_of_one_layer_is_the_variance_of_its_means():
    oracle = instance("medium")
    x = oracle.draw(50)
    loc, scale = oracle.exact_posterior(x)
    variance = prior_variance(oracle.vae, seed=0)
    assert torch.equal(variance, torch.ones(8, dtype=torch.float64))
    found = activity(two_means(oracle.vae, x), variance)
    torch.testing.assert_close(found, moved(loc + 0.1 * scale))
    torch.testing.assert_close(found.mean(0), loc.var(0))


@pytest.mark.parametrize("kind", ["bottom_up", "ladder"])
def test_the_activity_of_layers_is_by_the_layer_below_and_by_the_priors_variance(kind):
    oracle = two_layers(kind, posterior_scale=1.3)
    x = oracle.draw(400)
    inner = (oracle.top_loading**2).sum(1) + oracle.top_scale**2
    exact = torch.cat([inner, torch.ones(2, dtype=torch.float64)])
    variance = prior_variance(oracle.vae, seed=0)
    torch.testing.assert_close(variance, exact, rtol=0.07, atol=0)
    # Conditional means are linear here, so that the mean at the means is the mean.
    terms = moved(oracle.vae.posterior(x).loc) / variance
    found = activity(two_means(oracle.vae, x), variance)
    assert found.shape == (400, 5)
    assert_mean_zero(found - terms)
    assert float(terms.mean(0).min()) > 0.05
    assert active_units(found) == 5


def test_noise_of_the_layer_below_is_no_activity():
    oracle = two_layers("bottom_up", posterior_scale=1.3)
    last, above = oracle.vae.encoder.body[-1], oracle.vae.posterior_module.networks[0].body[-1]
    with torch.no_grad():
        last.weight.zero_()  # z_1 is the same for every x, and z_2 follows its noise
        above.weight.mul_(10)
    means = two_means(oracle.vae, oracle.draw(400))
    assert torch.equal(means[:, 0, :3], means[:, 1, :3])
    assert float(means[:, 0, 3:].var(0).min()) > 0.05
    found = activity(means, prior_variance(oracle.vae, seed=0))
    assert bool((found[:, :3].abs() < 1e-12).all())
    assert_mean_zero(found[:, 3:])


def test_means_at_the_means_would_miss_what_a_curved_network_says():
    torch.manual_seed(0)
    vae = VAE(family("two-layers")).double().eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    x = pictures(6)
    q = vae.posterior(x)
    z = q.from_noise(BatchNoise(9, 6, "posterior").draw(20_000, (5,), dtype=torch.float64))
    exact, error = z.mean(0), z.std(0) / 20_000**0.5
    found = torch.stack([two_means(vae, x, seed=seed).mean(1) for seed in range(60)])
    spread = (error.square() + found.var(0) / 60).sqrt()
    assert bool(((found.mean(0) - exact).abs() < 5 * spread + 1e-12).all())
    assert bool(((q.loc - exact).abs() > 5 * error)[:, 3:].any())


def test_means_do_not_depend_on_chunks_or_on_other_data():
    torch.manual_seed(0)
    vae, x = VAE(family("ladder")).double().eval(), pictures(6)
    whole = two_means(vae, x)
    torch.testing.assert_close(two_means(vae, x, chunk_rows=7), whole)
    torch.testing.assert_close(two_means(vae, x[4:], first_item=4), whole[4:])
    assert not torch.allclose(two_means(vae, x, seed=1)[:, :, :3], whole[:, :, :3])


def test_a_model_with_labels_averages_over_them_and_its_prior_has_none():
    torch.manual_seed(0)
    vae, x = VAE(family("labelled-ladder")).double().eval(), pictures(4)
    torch.nn.init.normal_(vae.label_pictures)
    weights = run_steps(guess_steps(vae, x, chunk_rows=ROWS)).exp()
    noise = BatchNoise(0, 4, "posterior").draw(32, (5,), dtype=torch.float64)
    expected = torch.zeros(4, 2, 5, dtype=torch.float64)
    for label in range(3):
        q = vae.posterior(x, torch.full((4,), label))
        loc = torch.cat(
            [
                group.loc.expand(32, 4, -1)
                for group in (
                    q.conditional(0, q.from_noise(noise)[..., 3:]),
                    q.conditional(1, None),
                )
            ],
            -1,
        )
        by_half = loc.unflatten(0, (2, 16)).mean(1).transpose(0, 1)
        expected += weights[:, label, None, None] * by_half.detach()
    torch.testing.assert_close(two_means(vae, x), expected)
    prior = vae.prior(torch.zeros(1, dtype=torch.int64))
    z = prior.from_noise(torch.randn(20_000, 5, dtype=torch.float64)).detach()
    torch.testing.assert_close(prior_variance(vae, seed=0), z.var(0), rtol=0.1, atol=0)


def test_active_units_are_those_above_the_threshold():
    spread = torch.tensor([0.0, 0.05, 0.2, 1.0], dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0] * 50, dtype=torch.float64)
    means = (7 + signs[:, None] * spread).unsqueeze(1).expand(-1, 2, -1)
    one = torch.ones(4, dtype=torch.float64)
    assert active_units(activity(means, one)) == 2
    assert active_units(activity(means, one), threshold=0.001) == 3
    assert active_units(activity(means, 200 * one)) == 0
    assert not activity(means[:1], one).any()  # one datum does not vary
