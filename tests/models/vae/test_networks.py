"""Encoder and decoder bodies: any size, rows that do not see each other, nothing left unused."""

import re
from typing import get_args

import pytest
import torch
from torch import nn

from models.config import ConvConfig, GatedMLPConfig, MLPConfig, NetworkConfig
from models.errors import ConfigError, ShapeMismatch
from models.vae import products
from models.vae.make_network import NETWORKS
from models.vae.networks import ACTIVATIONS, MIN_ROWS, Dense, Grow

CONFIGS = [
    MLPConfig(hidden=()),
    MLPConfig(hidden=(24, 10), activation="gelu"),
    GatedMLPConfig(hidden=(20, 12)),
    ConvConfig(channels=(6, 8), blocks=(1, 0)),
]
SIZES = [(1, 1), (7, 13), (28, 28), (33, 17)]
LATENT_SHAPE = (5,)
PARAMS = 3


def name_of(config):
    return f"{config.kind}-{getattr(config, 'hidden', '')}".rstrip("-")


def networks(config, *, channels=1, size=(7, 13), latent_shape=LATENT_SHAPE):
    """An encoder and a decoder with weights of a fixed seed."""
    torch.manual_seed(0)
    encoder, decoder = NETWORKS[config.kind]
    return (
        encoder(config, (channels, *size), (2, *latent_shape)),
        decoder(config, latent_shape, (PARAMS, *size)),
    )


def test_every_kind_of_the_config_has_its_networks():
    union, _ = get_args(NetworkConfig)
    assert {part.model_fields["kind"].default for part in get_args(union)} == NETWORKS.keys()
    activations = MLPConfig.model_fields["activation"].annotation.__args__
    assert set(activations) == ACTIVATIONS.keys()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_any_size_and_channels_come_out_in_the_right_shape(config, size, channels):
    encoder, decoder = networks(config, channels=channels, size=size)
    for network in (encoder.train(), encoder.eval()):
        assert network(torch.zeros(2, channels, *size)).shape == (2, 2, *LATENT_SHAPE)
    for network in (decoder.train(), decoder.eval()):
        assert network(torch.zeros(2, *LATENT_SHAPE)).shape == (2, PARAMS, *size)


@pytest.mark.parametrize("latent_shape", [(4,), (2, 3), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("lead", [(), (0,), (4,), (3, 4), (40, 2)], ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_any_leading_axes_and_latent_shape_pass_through(config, lead, latent_shape):
    encoder, decoder = networks(config, size=(3, 2), latent_shape=latent_shape)
    assert encoder.eval()(torch.zeros(*lead, 1, 3, 2)).shape == (*lead, 2, *latent_shape)
    assert decoder.eval()(torch.zeros(*lead, *latent_shape)).shape == (*lead, PARAMS, 3, 2)


@pytest.fixture(params=[False, True], ids=["mkl", "onednn"])
def library(request, monkeypatch):
    """Dense layers by either library, where both are there."""
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(products, "onednn_is_faster", lambda: request.param)


@pytest.mark.parametrize("is_frozen", [False, True], ids=["thawed", "frozen"])
@pytest.mark.parametrize("size", [(7, 13), (28, 28)], ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_row_is_bitwise_the_same_among_1_to_200_neighbours(config, size, is_frozen, library):
    generator = torch.Generator().manual_seed(1)
    for network, shape in zip(networks(config, size=size), [(1, *size), LATENT_SHAPE], strict=True):
        network.eval()
        if is_frozen:
            network.freeze()
        rows = torch.randn(200, *shape, generator=generator)
        with torch.no_grad():
            among_all = network(rows)
            for count in (1, 2, 15, 16, 17, 33, 100, 199):
                elsewhere = torch.randperm(200, generator=generator)[:count]
                for some in (slice(count), slice(200 - count, 200), elsewhere):
                    assert torch.equal(network(rows[some]), among_all[some]), (count, some)


@pytest.mark.parametrize("training", [False, True])
def test_rows_are_padded_to_a_multiple_in_eval_mode_and_only_there(training):
    network = networks(MLPConfig(hidden=(4,)))[1].train(training)
    assert network.block_rows > 2 * MIN_ROWS  # found by a pass of its own
    seen = []
    network.body[0].register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    for count in (1, MIN_ROWS - 1, MIN_ROWS, MIN_ROWS + 1):
        assert len(network(torch.zeros(count, *LATENT_SHAPE))) == count
    unpadded = [1, MIN_ROWS - 1, MIN_ROWS, MIN_ROWS + 1]
    assert seen == (unpadded if training else [MIN_ROWS, MIN_ROWS, MIN_ROWS, 2 * MIN_ROWS])


def test_a_frozen_network_pads_to_no_more_rows_than_its_bits_need():
    network = networks(MLPConfig(hidden=(4,)))[1].eval()
    network.freeze()
    seen = []
    network.body[0].register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    network(torch.zeros(1, *LATENT_SHAPE))
    assert seen == [network.row_multiple]
    assert network.row_multiple in (2, 4, 8, MIN_ROWS)  # as the machine's kernels need


@pytest.mark.parametrize(("smallest", "multiple"), [(3, 4), (5, 8), (9, MIN_ROWS), (17, MIN_ROWS)])
def test_a_frozen_network_finds_the_rows_from_which_on_its_bits_are_the_same(smallest, multiple):
    class Kernels(nn.Module):
        def forward(self, rows):
            return rows * (2.0 if len(rows) < smallest else 3.0)

    network = networks(MLPConfig(hidden=(4,)))[1].eval()
    network.body.append(Kernels())
    network.freeze()
    assert network.row_multiple == multiple


def record_rows(calls):
    """A hook that adds the number of rows of each call."""
    return lambda module, inputs: calls.append(len(inputs[0]))


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_many_rows_run_in_blocks_with_the_same_bits_and_gradients(config, monkeypatch):
    for network, shape in zip(networks(config), [(1, 7, 13), LATENT_SHAPE], strict=True):
        network.eval()
        rows = torch.randn(5 * MIN_ROWS + 3, *shape, generator=torch.Generator().manual_seed(1))
        monkeypatch.setattr(network, "block_rows", 2 * MIN_ROWS)
        calls = []
        hook = network.body[0].register_forward_pre_hook(record_rows(calls))
        in_blocks = network(rows.requires_grad_())
        hook.remove()
        assert calls == [2 * MIN_ROWS] * 3
        (of_blocks,) = torch.autograd.grad(in_blocks.sum(), rows)
        monkeypatch.setattr(network, "block_rows", 1000)
        at_once = network(rows)
        (of_all,) = torch.autograd.grad(at_once.sum(), rows)
        assert torch.equal(in_blocks, at_once)
        torch.testing.assert_close(of_blocks, of_all)


def test_a_block_is_as_many_rows_as_keep_the_widest_activation_small():
    encoder, _ = networks(ConvConfig(channels=(8, 16), blocks=(0, 0)), size=(64, 64))
    assert encoder.block_rows == 64  # 8 planes of 32 x 32 are 32 KiB
    wide = networks(MLPConfig(hidden=(10**6,)), size=(1, 1))[0]
    assert wide.block_rows == MIN_ROWS


@pytest.mark.parametrize(
    "config", [*CONFIGS, MLPConfig(hidden=(9,), activation="silu")], ids=name_of
)
def test_training_and_eval_mode_compute_the_same_function(config):
    for network, shape in zip(networks(config), [(1, 7, 13), LATENT_SHAPE], strict=True):
        inputs = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1)).double() * 9
        network.double()
        with torch.no_grad():
            evaluated, trained = network.eval()(inputs), network.train()(inputs)
        torch.testing.assert_close(evaluated, trained, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "config", [ConvConfig(), MLPConfig(hidden=(9,), activation="silu")], ids=name_of
)
def test_a_gradient_is_right_in_eval_mode_too_even_where_silu_saturates(config):
    for network, shape in zip(networks(config), [(1, 7, 13), LATENT_SHAPE], strict=True):
        for size in (1.0, 1e4):
            inputs = torch.randn(16, *shape, generator=torch.Generator().manual_seed(1)) * size
            gradients = []
            for training in (False, True):
                network.train(training).zero_grad()
                network(inputs).square().mean().backward()
                gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
            assert bool(gradients[0].isfinite().all())
            torch.testing.assert_close(
                *gradients, rtol=1e-3, atol=1e-5 * float(gradients[1].abs().max())
            )


@pytest.mark.parametrize("size", [(1, 1), (7, 13)], ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_gradient_reaches_every_parameter(config, size):
    generator = torch.Generator().manual_seed(1)
    for network, shape in zip(networks(config, size=size), [(1, *size), LATENT_SHAPE], strict=True):
        for block in network.modules():  # a residual branch is silent until its first step
            if hasattr(block, "second"):
                nn.init.normal_(block.second.weight, generator=generator)
        outputs = network(torch.randn(64, *shape, generator=generator))
        outputs.square().sum().backward()
        for name, parameter in network.named_parameters():
            assert bool(parameter.grad.isfinite().all()), name
            assert bool((parameter.grad != 0).any()), name


def test_a_residual_block_begins_as_the_identity():
    encoder, _ = networks(ConvConfig(channels=(6,), blocks=(1,)))
    block = encoder.body[1]
    with torch.no_grad():
        block.second.bias.zero_()
        inputs = torch.randn(2, 6, 4, 4, generator=torch.Generator().manual_seed(0))
        assert torch.equal(block(inputs), inputs)


def test_growth_may_start_as_repetition_of_pixels():
    torch.manual_seed(0)
    grow = Grow(3, 2, (10, 12), kernel=3)
    grow.start_smooth()
    grown = grow(torch.randn(4, 3, 5, 6))
    repeated = grown[..., ::2, ::2].repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    torch.testing.assert_close(grown, repeated)


def test_the_gated_layer_is_its_formula():
    layer = networks(GatedMLPConfig(hidden=(6,)))[1].body[1].double()
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double()
    (w, v), (b, c) = layer.linear.weight.chunk(2), layer.linear.bias.chunk(2)
    exact = (inputs @ w.T + b) * torch.sigmoid(inputs @ v.T + c)
    torch.testing.assert_close(layer(inputs), exact, rtol=1e-13, atol=1e-14)


def test_an_mlp_without_hidden_layers_is_affine():
    _, decoder = networks(MLPConfig(hidden=()))
    decoder.double().eval()
    a, b = torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(0)).double()
    zero = torch.zeros(1, 5).double()
    left = decoder(a + b) + decoder(zero)
    torch.testing.assert_close(left, decoder(a) + decoder(b), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", [MLPConfig, GatedMLPConfig, ConvConfig])
def test_dropout_acts_in_training_only(kind):
    for config in (kind(dropout=0.5), kind()):
        for network, shape in zip(networks(config), [(1, 7, 13), LATENT_SHAPE], strict=True):
            for block in network.modules():
                if hasattr(block, "second"):
                    nn.init.ones_(block.second.weight)
            inputs = torch.ones(2, *shape)
            torch.manual_seed(0)
            network.eval()
            assert torch.equal(network(inputs), network(inputs))
            network.train()
            assert torch.equal(network(inputs), network(inputs)) == (config.dropout == 0)


@pytest.mark.parametrize("out_shape", [(2, 6, 4, 7), (2, 1, 4, 7)], ids=str)
def test_outputs_of_the_deepest_resolution_come_from_a_convolution(out_shape):
    encoder = NETWORKS["conv"][0](ConvConfig(channels=(6,), blocks=(1,)), (1, 7, 13), out_shape)
    assert isinstance(encoder.body[-1], nn.Conv2d)
    inputs = torch.zeros(3, 1, 7, 13)
    outputs = encoder(inputs)
    assert outputs.shape == (3, *out_shape)
    inputs[..., -1, -1] = 1  # far from the first place
    assert torch.equal(encoder(inputs)[..., 0, 0], outputs[..., 0, 0])


def test_inputs_of_the_deepest_resolution_go_through_a_convolution():
    decoder = NETWORKS["conv"][1](ConvConfig(channels=(6,), blocks=(0,)), (5, 4, 7), (1, 7, 13))
    assert [type(layer) for layer in decoder.body[:2]] == [nn.Flatten, nn.Conv2d]
    inputs = torch.zeros(3, 5, 4, 7)
    outputs = decoder(inputs)
    assert outputs.shape == (3, 1, 7, 13)
    inputs[..., -1, -1] = 1
    assert torch.equal(decoder(inputs)[..., 0, 0], outputs[..., 0, 0])


def test_a_latent_that_only_looks_like_planes_comes_from_a_dense_layer():
    # Location and scale of two numbers, (2, 2), where the deepest resolution is (2, 2) too.
    encoder, decoder = networks(
        ConvConfig(channels=(6,), blocks=(1,)), size=(4, 4), latent_shape=(2,)
    )
    assert isinstance(encoder.body[-1], Dense)
    assert isinstance(decoder.body[1], Dense)


@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=str)
def test_a_conv_network_of_what_has_no_planes_is_refused(shape):
    for make in NETWORKS["conv"]:
        with pytest.raises(
            ConfigError, match=rf"cannot take the shape {re.escape(str(list(shape)))}"
        ):
            make(ConvConfig(), shape, shape)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_another_shape_is_refused_with_both_shapes(config):
    encoder, decoder = networks(config)
    with pytest.raises(
        ShapeMismatch, match=r"shape \(2, 1, 13, 7\); its last axes must be \(1, 7, 13\)"
    ):
        encoder(torch.zeros(2, 1, 13, 7))
    with pytest.raises(ShapeMismatch, match=r"shape \(2, 4\); its last axes must be \(5,\)"):
        decoder(torch.zeros(2, 4))
    with pytest.raises(ShapeMismatch, match=r"shape \(7, 13\); its last"):
        encoder(torch.zeros(7, 13))


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_outputs_of_inputs_plus_each_shift_and_their_gradients_are_those_of_the_sums(config):
    encoder, _ = networks(config, channels=2)
    encoder.double().train()
    inputs = torch.randn(3, 2, 7, 13, dtype=torch.float64)
    shifts = torch.randn(4, 2, 7, 13, dtype=torch.float64, requires_grad=True)
    wanted = encoder((shifts.unsqueeze(1) + inputs).flatten(0, 1))
    found = encoder.forward_each(inputs, shifts)
    assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-12)
    leaves = [shifts, *encoder.parameters()]
    gradients = (torch.autograd.grad(y.sin().sum(), leaves) for y in (found, wanted))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-10)
