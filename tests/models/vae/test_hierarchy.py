"""Layers of latents against hand-written ancestral code, integrals and a dense normal; float64."""

import pytest
import torch
from torch.distributions import Normal

from models.distributions.batch_noise import BatchNoise
from models.distributions.grouped import GroupedNormal
from models.estimators.bounds import iwae_bound
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.vae import VAE
from tests.models.family_cases import family
from tests.oracle import two_layers

KINDS = ["bottom_up", "ladder"]
THREE = {"latent_shape": (6,), "latent_groups": [(3,), (2,), (1,)]}


def make(name, **fields):
    torch.manual_seed(0)
    vae = VAE(family(name, **fields)).double().eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return vae


def pictures(count):
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1)).round().double()


def normal_of(network, value, shape):
    """A network's locations and scales, as they are written in the papers."""
    outputs = network(value.reshape(*value.shape[:-1], *network.in_shape))
    loc, raw_scale = outputs.flatten(value.ndim).unbind(value.ndim - 1)
    assert network.out_shape == (2, *shape)
    return Normal(loc, torch.log1p(raw_scale.exp()))


# By hand


@pytest.mark.parametrize("fields", [{}, THREE], ids=["two", "three"])
def test_the_top_down_prior_is_its_hand_written_joint(fields):
    vae = make("ladder", **fields)
    shapes = vae.config.latent_groups
    sizes = [shape[0] for shape in shapes]
    z = torch.randn(5, 4, sum(sizes), dtype=torch.float64)
    parts = z.split(sizes, -1)
    by_hand = [Normal(0, 1).log_prob(parts[-1]).sum(-1)]
    for i in reversed(range(len(sizes) - 1)):
        given = normal_of(vae.prior_module.networks[i], parts[i + 1], shapes[i])
        by_hand.insert(0, given.log_prob(parts[i]).sum(-1))
    prior = vae.prior()
    assert (prior.batch_shape, prior.event_shape) == ((), (sum(sizes),))
    torch.testing.assert_close(prior.log_prob_per_group(z), torch.stack(by_hand, -1))
    torch.testing.assert_close(prior.log_prob(z), sum(by_hand))


def test_draws_from_the_top_down_prior_are_ancestral():
    vae = make("ladder", **THREE)
    noise = torch.randn(5, 4, 6, dtype=torch.float64)
    for temperature in (1.0, 0.5):
        parts, networks = noise.split([3, 2, 1], -1), vae.prior_module.networks
        top = temperature * parts[2]
        middle = normal_of(networks[1], top, (2,))
        z_2 = middle.loc + middle.scale * temperature * parts[1]
        first = normal_of(networks[0], z_2, (3,))
        z_1 = first.loc + first.scale * temperature * parts[0]
        drawn = vae.prior().from_noise(noise, temperature=temperature)
        torch.testing.assert_close(drawn, torch.cat([z_1, z_2, top], -1))


def test_the_bottom_up_posterior_is_its_hand_written_joint():
    vae, x = make("two-layers", **THREE), pictures(4)
    noise = torch.randn(5, 4, 6, dtype=torch.float64)
    loc, raw_scale = vae.encoder(2 * x - 1).unbind(1)
    first = Normal(loc, torch.log1p(raw_scale.exp()))
    parts = noise.split([3, 2, 1], -1)
    z_1 = first.loc + first.scale * parts[0]
    second = normal_of(vae.posterior_module.networks[0], z_1, (2,))
    z_2 = second.loc + second.scale * parts[1]
    third = normal_of(vae.posterior_module.networks[1], z_2, (1,))
    z_3 = third.loc + third.scale * parts[2]
    q = vae.posterior(x)
    z = torch.cat([z_1, z_2, z_3], -1)
    assert (q.batch_shape, q.event_shape, q.noise_shape((5,))) == ((4,), (6,), (5, 4, 6))
    torch.testing.assert_close(q.from_noise(noise), z)
    exact = [d.log_prob(v).sum(-1) for d, v in [(first, z_1), (second, z_2), (third, z_3)]]
    torch.testing.assert_close(q.log_prob_per_group(z), torch.stack(exact, -1))
    torch.testing.assert_close(q.log_prob(z), sum(exact))


def product(first, second):
    """Of two normals, by their precisions."""
    precision = first.scale**-2 + second.scale**-2
    loc = (first.loc * first.scale**-2 + second.loc * second.scale**-2) / precision
    return Normal(loc, precision**-0.5)


def test_the_ladder_posterior_merges_estimates_with_the_priors_conditionals():
    vae, x = make("ladder"), pictures(4)
    noise = torch.randn(5, 4, 5, dtype=torch.float64)
    first = vae.encoder(2 * x - 1)
    assert first.shape == (4, 2 + 4, 3)
    second = vae.posterior_module.networks[0](first[:, 2:])
    estimates = [Normal(e[:, 0], torch.log1p(e[:, 1].exp())) for e in (first, second)]
    z_2 = estimates[1].loc + estimates[1].scale * noise[..., 3:]
    merged = product(estimates[0], normal_of(vae.prior_module.networks[0], z_2, (3,)))
    z_1 = merged.loc + merged.scale * noise[..., :3]
    q = vae.posterior(x)
    torch.testing.assert_close(q.from_noise(noise), torch.cat([z_1, z_2], -1))
    exact = [merged.log_prob(z_1).sum(-1), estimates[1].log_prob(z_2).sum(-1)]
    torch.testing.assert_close(
        q.log_prob_per_group(torch.cat([z_1, z_2], -1)), torch.stack(exact, -1)
    )


def test_the_way_up_of_three_groups_goes_from_features_to_features():
    vae, x = make("ladder", **THREE), pictures(4)
    params, estimates = vae.encoder(2 * x - 1), []
    for network, shape in zip(vae.posterior_module.networks, ((6, 2), (2, 1)), strict=True):
        estimates.append(params[:, :2])
        params = network(params[:, 2:])
        assert params.shape == (4, *shape)
    top, middle = Normal(params[:, 0], torch.log1p(params[:, 1].exp())), estimates[1]
    q = vae.posterior(x)
    torch.testing.assert_close(q.conditional(2, None).loc, top.loc)
    z_3 = torch.randn(4, 1, dtype=torch.float64)
    merged = product(
        Normal(middle[:, 0], torch.log1p(middle[:, 1].exp())),
        normal_of(vae.prior_module.networks[1], z_3, (2,)),
    )
    torch.testing.assert_close(q.conditional(1, z_3).loc, merged.loc)
    torch.testing.assert_close(q.conditional(1, z_3).scale, merged.scale)


def test_the_second_group_of_a_ladder_does_not_pass_through_the_firsts_estimate():
    vae, x = make("ladder"), pictures(4)
    before = vae.posterior(x)
    last, estimate, features = vae.encoder.body[-1], slice(0, 6), slice(6, None)
    with torch.no_grad():
        last.weight[estimate] = 0.0
    blind = vae.posterior(x)
    assert torch.equal(blind.conditional(1, None).loc, before.conditional(1, None).loc)
    z_2 = torch.zeros(4, 2, dtype=torch.float64)
    assert not torch.equal(blind.conditional(0, z_2).loc, before.conditional(0, z_2).loc)
    with torch.no_grad():
        last.weight[features] = 0.0
    loc = vae.posterior(x).conditional(1, None).loc
    assert torch.equal(loc, loc[:1].expand(4, -1))


def test_a_convolutional_ladder_keeps_the_groups_axes():
    vae, x = make("conv-ladder"), pictures(4)
    seen = {}
    networks = [vae.prior_module.networks[0], vae.posterior_module.networks[0], vae.decoder]
    for i, network in enumerate(networks):
        network.register_forward_hook(
            lambda n, a, out, i=i: seen.update({i: (a[0].shape, out.shape)})
        )
    q = vae.posterior(x)
    z = q.from_noise(torch.randn(5, 4, 10, dtype=torch.float64))
    assert vae.log_joint(x, z).shape == (5, 4)
    assert seen[0] == ((5, 4, 2), (5, 4, 2, 2, 2, 2))
    assert seen[1] == ((4, 4, 2, 2, 2), (4, 2, 2))
    assert seen[2] == ((5, 4, 2, 2, 2), (5, 4, 1, 4, 4))


def test_the_ancestral_mean_follows_means_and_its_scales_are_given_them():
    vae, x = make("two-layers"), pictures(4)
    q = vae.posterior(x)
    zero = torch.zeros(4, 5, dtype=torch.float64)
    assert torch.equal(q.loc, q.from_noise(zero))
    assert torch.equal(q.mean, q.loc)
    one = q.conditional(1, q.loc[:, :3])
    torch.testing.assert_close(q.scale, torch.cat([q.conditional(0, None).scale, one.scale], -1))
    assert torch.equal(vae.prior().loc, vae.prior().from_noise(zero[0]))


# Densities


@pytest.mark.parametrize("name", ["two-layers", "ladder"])
def test_the_densities_integrate_to_one(name):
    vae = make(name, latent_shape=(2,), latent_groups=[(1,), (1,)]).freeze()
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    step = (axis[1] - axis[0]) ** 2
    assert float(vae.prior().log_prob(grid).exp().sum() * step) == pytest.approx(1, abs=1e-6)
    q = vae.posterior(pictures(1))
    density = q.log_prob(grid.unsqueeze(1)).exp()
    assert float(density.sum() * step) == pytest.approx(1, abs=1e-6)


# The exact evidence


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_exact_posterior_every_weight_is_the_evidence(kind):
    oracle = two_layers(kind)
    x = oracle.draw(6)
    q = oracle.vae.posterior(x)
    log_w = oracle.vae.log_weights(
        x, BatchNoise(0, 6, "posterior").draw_for(q, 20, dtype=torch.float64)
    )
    exact = oracle.log_px(x).expand(20, 6)
    torch.testing.assert_close(log_w, exact, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_rise_to_the_evidence_of_a_dense_normal(kind):
    oracle = two_layers(kind, posterior_scale=1.3)
    x = oracle.draw(300)
    noise = BatchNoise(0, 300, "posterior").draw(100, (5,), dtype=torch.float64)
    log_w = oracle.vae.log_weights(x, noise)
    exact = oracle.log_px(x)
    gaps = {
        k: exact - torch.stack([iwae_bound(p) for p in log_w.split(k)]).mean(0) for k in (1, 10)
    }
    gaps[100] = exact - iwae_bound(log_w)
    for few, many in [(1, 10), (10, 100)]:
        rise = gaps[few] - gaps[many]
        assert rise.mean() > 4 * rise.std() / 300**0.5
    torch.testing.assert_close(gaps[1], exact - log_w.mean(0))
    e = estimate_log_px(oracle.vae, x[:100], num_samples=4000, seed=1, chunk_rows=50_000)
    assert e.num_samples == 4000
    # E[log] is below by half the error's square.
    off = (e.estimate_nats - exact[:100]) / e.standard_error_nats
    assert bool((off.abs() < 4.5).all())
    assert abs(float(off.mean())) < 4 / 10


@pytest.mark.parametrize("kind", KINDS)
def test_the_elbo_is_the_mean_log_weight_and_its_kl_is_that_of_its_groups(kind):
    oracle = two_layers(kind, posterior_scale=1.3)
    x = oracle.draw(8)
    e = estimate_elbo(oracle.vae, x, num_samples=500, seed=2)
    noise = BatchNoise(2, 8, "posterior").draw(500, (5,), dtype=torch.float64)
    log_w = oracle.vae.log_weights(x, noise)
    assert (e.kl_method, e.num_samples) == ("monte_carlo", 500)
    torch.testing.assert_close(e.elbo_nats, log_w.mean(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        e.standard_error_nats, log_w.std(0) / 500**0.5, rtol=1e-8, atol=1e-12
    )
    assert e.kl_per_group_nats.shape == (8, 2)
    assert e.kl_per_dimension_nats is None
    torch.testing.assert_close(e.kl_per_group_nats.sum(-1), e.kl_nats)
    assert bool((e.elbo_nats < oracle.log_px(x) + 4 * e.standard_error_nats).all())


def test_the_kl_of_each_group_is_its_own_log_ratio():
    oracle = two_layers("ladder", posterior_scale=1.3)
    x = oracle.draw(8)
    e = estimate_elbo(oracle.vae, x, num_samples=4000, seed=2, chunk_rows=50_000)
    top = oracle.vae.posterior(x).conditional(1, None)  # against N(0, I), in closed form
    exact = (0.5 * (top.scale**2 + top.loc**2 - 1) - top.scale.log()).sum(-1)
    spread = (0.5 * (1 - top.scale**2) ** 2 + (top.loc * top.scale) ** 2).sum(-1).sqrt()
    assert bool(((e.kl_per_group_nats[:, 1] - exact).abs() < 4 * spread / 4000**0.5).all())


# Gradients


@pytest.mark.parametrize("name", ["two-layers", "ladder", "conv-ladder"])
def test_detached_is_the_same_distribution_whose_gradient_goes_through_z_alone(name):
    vae, x = make(name), pictures(4)
    q = vae.posterior(x)
    assert isinstance(q, GroupedNormal)
    noise = torch.randn(3, 4, vae.num_latents, dtype=torch.float64)
    z = q.from_noise(noise).detach().requires_grad_()
    stopped = q.detached()
    assert torch.equal(stopped.log_prob(z), q.log_prob(z))
    assert torch.equal(stopped.from_noise(noise), q.from_noise(noise))
    stopped.log_prob(z).sum().backward()
    assert all(parameter.grad is None for parameter in vae.parameters())
    ours = z.grad.clone()
    z.grad = None
    q.log_prob(z).sum().backward()
    torch.testing.assert_close(ours, z.grad)
    assert any(parameter.grad is not None for parameter in vae.encoder.parameters())
