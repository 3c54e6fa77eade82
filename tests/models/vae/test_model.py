"""The VAE: what its three distributions look like, and the one line that combines them."""

import math

import pytest
import torch

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    ConvConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    GatedMLPConfig,
    MLPConfig,
    NormalConfig,
)
from models.distributions.kl import kl_divergence
from models.errors import OutOfSupport, ShapeMismatch, UnsupportedOperation
from models.vae import VAE
from models.vae_config import VAEConfig

LIKELIHOODS = [
    BernoulliConfig(),
    ContinuousBernoulliConfig(),
    DiscretizedLogisticConfig(levels=17, num_mixtures=2),
    DiscretizedNormalConfig(levels=17),
    NormalConfig(),
    NormalConfig(scale="fixed"),
    NormalConfig(scale="per_pixel"),
]
NETWORKS = [
    MLPConfig(hidden=(12,)),
    GatedMLPConfig(hidden=(12,)),
    ConvConfig(channels=(4,), blocks=(1,)),
]


def make(likelihood=LIKELIHOODS[0], network=NETWORKS[0], *, shape=(1, 6, 5), latent=(3,), seed=0):
    torch.manual_seed(seed)
    config = VAEConfig(
        image_shape=shape,
        latent_shape=latent,
        likelihood=likelihood,
        encoder=network,
        decoder=network,
    )
    return VAE(config).eval()


def observations(vae, count, *, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, *vae.image_shape, generator=generator)
    return (x * vae.unit_scale).round() if vae.is_mass else x


def name_of(config):
    return f"{config.kind}-{getattr(config, 'scale', '')}".rstrip("-")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name_of)
def test_every_method_has_its_shape(likelihood, network, channels):
    vae = make(likelihood, network, shape=(channels, 6, 5))
    x = observations(vae, 4)
    vae.check_support(x)
    noise = torch.zeros(2, 4, 3)
    q, p = vae.posterior(x), vae.prior()
    assert (q.batch_shape, q.event_shape) == ((4,), (3,))
    assert (p.batch_shape, p.event_shape) == ((), (3,))
    for lead in [(), (4,), (2, 4)]:
        likelihood_of_z = vae.likelihood(torch.zeros(*lead, 3))
        assert likelihood_of_z.batch_shape == lead
        assert likelihood_of_z.event_shape == (channels, 6, 5)
    assert vae.log_joint(x, torch.zeros(4, 3)).shape == (4,)
    assert vae.log_joint(x, torch.zeros(2, 4, 3)).shape == (2, 4)
    log_w = vae.log_weights(x, noise)
    assert log_w.shape == (2, 4)
    assert bool(log_w.isfinite().all())


@pytest.mark.parametrize("latent", [(4,), (2, 3), (1, 2, 2)], ids=str)
def test_a_latent_may_have_several_axes(latent):
    vae = make(latent=latent)
    x = observations(vae, 4)
    assert vae.posterior(x).loc.shape == (4, *latent)
    assert vae.log_weights(x, torch.zeros(2, 4, *latent)).shape == (2, 4)
    assert vae.num_latents == math.prod(latent)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name_of)
def test_the_log_weights_are_the_three_log_densities(likelihood):
    vae = make(likelihood).double()
    x = observations(vae, 4).double()
    noise = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)).double()
    q = vae.posterior(x)
    z = q.loc + q.scale * noise
    by_hand = torch.stack(
        [
            vae.likelihood(z[k]).log_prob(x)
            + torch.distributions.Normal(0, 1).log_prob(z[k]).sum(-1)
            - torch.distributions.Normal(q.loc, q.scale).log_prob(z[k]).sum(-1)
            for k in range(5)
        ]
    )
    torch.testing.assert_close(vae.log_weights(x, noise), by_hand, rtol=1e-12, atol=1e-12)


def test_a_given_posterior_gives_the_same_log_weights_without_the_encoder():
    vae = make()
    x, noise = observations(vae, 4), torch.randn(5, 4, 3)
    runs = []
    vae.encoder.register_forward_hook(lambda *_: runs.append(1))
    q = vae.posterior(x)
    given = vae.log_weights(x, noise, posterior=q)
    assert len(runs) == 1
    assert torch.equal(given, vae.log_weights(x, noise))
    assert len(runs) == 2


@pytest.mark.parametrize("shape", [(1, 7, 13), (3, 4, 4)], ids=str)
@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name_of)
def test_an_item_is_bitwise_the_same_among_1_to_200_neighbours(likelihood, network, shape):
    vae = make(likelihood, network, shape=shape)
    x = observations(vae, 200)
    noise = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(2))

    def everything(x, noise):
        q = vae.posterior(x)
        z = q.from_noise(noise[0])
        p = vae.likelihood(z)
        return {
            "loc": q.loc,
            "scale": q.scale,
            "log q": q.log_prob(z),
            "kl": kl_divergence(q, vae.prior()),
            "mean": p.mean,
            "log p": p.log_prob(x),
            "log w": vae.log_weights(x, noise, posterior=q).T,
        }

    with torch.no_grad():
        among_all = everything(x, noise)
        for rows in (slice(0, 1), slice(150, 153), slice(20, 37), slice(199, 200), slice(1, 120)):
            for name, value in everything(x[rows], noise[:, rows]).items():
                assert torch.equal(value, among_all[name][rows]), (name, rows)


def test_the_encoder_sees_pixels_between_minus_1_and_1():
    vae = make(DiscretizedNormalConfig(levels=17))
    seen = []
    vae.encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    x = torch.zeros(2, 1, 6, 5)
    x[1] = 16
    vae.posterior(x)
    assert torch.equal(seen[0][0], torch.full((1, 6, 5), -1.0))
    assert torch.equal(seen[0][1], torch.full((1, 6, 5), 1.0))


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name_of)
def test_a_gradient_of_the_bound_reaches_every_parameter(likelihood, network):
    vae = make(likelihood, network).train()
    for name, parameter in vae.named_parameters():
        if "second.weight" in name:
            torch.nn.init.normal_(parameter)
    vae.log_weights(observations(vae, 32), torch.randn(2, 32, 3)).mean().backward()
    for name, parameter in vae.named_parameters():
        assert bool(parameter.grad.isfinite().all()), name
        assert bool((parameter.grad != 0).any()), name


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_saved_weights_make_an_equal_model(network, tmp_path):
    first, second = make(network=network, seed=0), make(network=network, seed=1)
    x, noise = observations(first, 4), torch.randn(2, 4, 3)
    assert not torch.equal(first.log_weights(x, noise), second.log_weights(x, noise))
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(first.log_weights(x, noise), second.log_weights(x, noise))


@pytest.mark.parametrize("call", ["prior", "posterior", "likelihood", "log_joint", "log_weights"])
def test_a_label_is_refused_by_a_model_without_labels(call):
    vae = make()
    x, y = observations(vae, 2), torch.zeros(2, dtype=torch.long)
    arguments = {
        "prior": (),
        "posterior": (x,),
        "likelihood": (torch.zeros(2, 3),),
        "log_joint": (x, torch.zeros(2, 3)),
        "log_weights": (x, torch.zeros(1, 2, 3)),
    }
    with pytest.raises(UnsupportedOperation, match=r"takes no label.*Leave the label out"):
        getattr(vae, call)(*arguments[call], y=y)


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (2, 3, 6, 5), (1, 6, 5), (2, 30)], ids=str)
def test_an_observation_of_another_shape_is_refused(shape):
    with pytest.raises(ShapeMismatch) as caught:
        make().check_support(torch.zeros(shape))
    assert f"x has shape {shape}; this model takes (batch, 1, 6, 5)" in str(caught.value)
    assert caught.value.details["received"] == list(shape)


def test_an_observation_outside_the_support_is_refused():
    with pytest.raises(OutOfSupport, match=r"\{0, 1\}"):
        make().check_support(torch.full((2, 1, 6, 5), 0.5))


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=name_of)
def test_it_says_whether_it_is_a_mass_and_what_its_unit_is(likelihood):
    vae = make(likelihood)
    assert vae.is_mass == (
        likelihood.kind in {"bernoulli", "discretized_logistic", "discretized_normal"}
    )
    assert vae.unit_scale == (16 if "discretized" in likelihood.kind else 1)


def test_the_cost_of_decoding_is_counted_by_hand():
    mlp = make(network=MLPConfig(hidden=(12, 7)))
    assert mlp.decoder_macs() == 3 * 12 + 12 * 7 + 7 * 30
    conv = make(network=ConvConfig(channels=(4, 8), blocks=(1, 1)), shape=(1, 6, 5))
    dense, deepest, middle = 3 * 8 * 2 * 2, 2 * 2, 3 * 3
    blocks = 2 * 8 * 8 * 9 * deepest + 2 * 4 * 4 * 9 * middle
    grow = 8 * (4 * 4) * 1 * deepest + 4 * (4 * 1) * 9 * middle
    assert conv.decoder_macs() == dense + blocks + grow


def test_the_cost_of_a_hierarchy_has_the_networks_between_its_groups():
    network = {"kind": "mlp", "hidden": [5]}
    config = VAEConfig.model_validate(
        {
            "image_shape": (1, 6, 5),
            "latent_shape": [5],
            "latent_groups": [[3], [2]],
            "likelihood": {"kind": "bernoulli"},
            "encoder": {"kind": "mlp", "hidden": [7]},
            "decoder": {"kind": "mlp", "hidden": [12]},
            "prior": {"kind": "top_down", "network": network},
            "posterior": {"kind": "bottom_up", "network": network},
        }
    )
    down, up = 2 * 5 + 5 * 2 * 3, 3 * 5 + 5 * 2 * 2
    assert VAE(config).decoder_macs() == 3 * 12 + 12 * 30 + down + up


@pytest.mark.parametrize("training", [False, True])
def test_counting_the_cost_does_not_touch_the_model(training):
    vae = make(network=MLPConfig(hidden=(12,), dropout=0.5)).train(training)
    vae.encoder.train(not training)
    modes = [module.training for module in vae.modules()]
    assert vae.decoder_macs() == 3 * 12 + 12 * 30
    assert [module.training for module in vae.modules()] == modes
    assert not any(module._forward_hooks for module in vae.modules())
