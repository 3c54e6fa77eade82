"""What holds for every kind of likelihood: shapes, gradients, precision, draws; and the normal."""

import math

import pytest
import torch
from scipy import integrate

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
)
from models.distributions.normals import DiagonalNormal
from models.errors import OutOfSupport
from models.vae.likelihoods import LIKELIHOODS
from models.vae_config import VAEConfig
from tests.models.likelihood_cases import (
    BOTH_SHAPES,
    COLOUR_SHAPE,
    CONFIGS,
    likelihood_of,
    make,
    name_of,
    observations,
    pixels,
)


def test_every_kind_of_the_config_has_its_module():
    union = VAEConfig.model_fields["likelihood"].annotation
    kinds = {part.model_fields["kind"].default for part in union.__args__}
    assert kinds == LIKELIHOODS.keys()


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@pytest.mark.parametrize("batch", [(), (4,), (2, 4)], ids=str)
def test_batch_and_event_shapes(config, shape, batch):
    module, _, d = make(config, shape, batch=batch)
    x = observations(module, shape, 4)
    assert d.batch_shape == batch
    assert d.event_shape == shape
    assert d.mean.shape == (*batch, *shape)
    assert d.log_prob(x if batch else x[0]).shape == batch
    assert d.from_noise(torch.full(d.noise_shape((5,)), 0.5).double()).shape == (5, *batch, *shape)
    assert d.log_prob(x).shape == (batch or (4,))


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_an_images_log_prob_does_not_see_the_others(config, shape):
    module, params, d = make(config, shape)
    x = observations(module, shape, 4)
    alone = torch.cat([module(params[i : i + 1]).log_prob(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(d.log_prob(x), alone, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_gradient_reaches_every_parameter_and_is_the_difference_quotient(config, shape):
    module, params, d = make(config, shape)
    x = observations(module, shape, 4)
    d.log_prob(x).sum().backward()
    assert bool(params.grad.isfinite().all())
    # A decoder's channel counts when any pixel of any image moves with it.
    moved = (params.grad != 0).sum((0, 2, 3))
    if getattr(config, "num_mixtures", 0) == 1:
        moved = torch.cat([moved[1:], torch.ones(1)])  # a single component has weight one
    assert bool((moved > 0).all())
    torch.manual_seed(0)  # of the fast mode's direction
    assert torch.autograd.gradcheck(lambda p: module(p).log_prob(x), params, fast_mode=True)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@pytest.mark.parametrize("size", [20.0, 30.0, 100.0])
def test_gradients_stay_finite_when_the_decoder_is_far_off(config, size):
    module = likelihood_of(config, (1, 3, 2))
    for sign in (-1, 1):
        params = torch.full((2, module.num_params, 3, 2), sign * size, dtype=torch.float64)
        params.requires_grad_()
        value = module(params).log_prob(observations(module, (1, 3, 2), 2)).sum()
        value.backward()
        assert bool(value.isfinite())
        assert bool(params.grad.isfinite().all())


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_float32_is_close_to_float64(config, shape):
    module, params, d = make(config, shape)
    x = observations(module, shape, 4)
    single = module.float()(params.detach().float())
    assert single.mean.dtype == single.log_prob(x.float()).dtype == torch.float32
    torch.testing.assert_close(
        single.log_prob(x.float()).double(), d.log_prob(x), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(single.mean.double(), d.mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_extreme_noise_gives_draws_inside_the_support(config, shape, dtype):
    module, _, d = make(config, shape, dtype=dtype)
    one, zero = torch.ones((), dtype=dtype), torch.zeros((), dtype=dtype)
    extremes = (zero, torch.nextafter(one, zero))
    if d.noise_kind == "normal":
        extremes = (torch.full((), -8.0, dtype=dtype), torch.full((), 8.0, dtype=dtype))
    for value in extremes:
        drawn = d.from_noise(value.expand(d.noise_shape((2,))))
        assert drawn.dtype == dtype
        assert bool(drawn.isfinite().all())
        module.check_support(drawn.flatten(0, 1))
        assert bool(d.log_prob(drawn).isfinite().all())


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_sample_draws_in_the_support(config):
    module, _, d = make(config, (1, 3, 2))
    torch.manual_seed(0)
    drawn = d.sample((50,))
    assert drawn.shape == (50, 4, 1, 3, 2)
    module.check_support(drawn.flatten(0, 1))


def test_masses_and_densities_say_which_they_are():
    masses = {name for name, module in LIKELIHOODS.items() if module.is_mass}
    assert masses == {"bernoulli", "discretized_logistic", "discretized_normal"}


# Normal


@pytest.mark.parametrize("scale", ["fixed", "learned", "per_image", "per_pixel"])
def test_normal_is_torchs(scale):
    module, _, d = make(NormalConfig(scale=scale, fixed_scale=0.7), COLOUR_SHAPE)
    x = observations(module, COLOUR_SHAPE, 4)
    theirs = torch.distributions.Normal(d.loc, d.scale).log_prob(x).sum((-3, -2, -1))
    assert isinstance(d, DiagonalNormal)
    torch.testing.assert_close(d.log_prob(x), theirs, rtol=1e-13, atol=1e-13)


def test_the_per_image_scale_is_one_number_per_image():
    _, _, d = make(NormalConfig(scale="per_image"), COLOUR_SHAPE)
    per_image = d.scale.flatten(1)
    assert bool((per_image == per_image[:, :1]).all())
    assert len(set(per_image[:, 0].tolist())) == 4


@pytest.mark.parametrize(
    "config", [NormalConfig(scale="learned"), DiscretizedNormalConfig(scale="learned")]
)
def test_the_learned_scale_is_one_number_for_all_that_the_decoder_does_not_make(config):
    module, params, d = make(config, COLOUR_SHAPE)
    assert params.shape[1] == 3
    assert len(set(d.scale.flatten().tolist())) == 1
    d.log_prob(observations(module, COLOUR_SHAPE, 4)).sum().backward()
    assert float(module.raw_scale.grad) != 0


def test_the_learned_scale_of_a_discretized_normal_is_the_softplus_of_ten_raw_scales():
    module, _, _ = make(DiscretizedNormalConfig(scale="learned"), COLOUR_SHAPE)
    torch.nn.init.constant_(module.raw_scale, -0.3)
    d = module(torch.zeros(2, 3, 2, 2, dtype=torch.float64))
    expected = torch.full_like(d.loc, math.log1p(math.exp(-3)))
    torch.testing.assert_close(d.scale, expected, rtol=1e-7, atol=0)


def test_the_per_pixel_scale_is_a_number_per_element():
    _, _, d = make(NormalConfig(scale="per_pixel"), COLOUR_SHAPE)
    assert len(set(d.scale.flatten().tolist())) == d.scale.numel()


@pytest.mark.parametrize("scale", ["fixed", "learned", "per_image", "per_pixel"])
@pytest.mark.parametrize("start", [1e-6, 0.05, 1.0, 30.0, 1e4])
def test_the_scale_starts_at_the_fixed_scale(scale, start):
    config = NormalConfig(scale=scale, fixed_scale=start)
    module = likelihood_of(config, COLOUR_SHAPE).double()
    d = module(torch.zeros(2, module.num_params, 2, 2, dtype=torch.float64))
    torch.testing.assert_close(d.scale, torch.full_like(d.scale, start), rtol=1e-9, atol=0)


def test_normal_integrates_to_one():
    d = DiagonalNormal(pixels([0.2]), pixels([0.7]), event_dim=3)
    total, _ = integrate.quad(lambda x: d.log_prob(pixels([x])).exp().item(), -12, 12)
    assert total == pytest.approx(1, abs=1e-9)


# Support


NOT_FINITE = [math.nan, math.inf, -math.inf]


REFUSED = [
    *[(BernoulliConfig(), v) for v in [*NOT_FINITE, 0.5, -1.0, 2.0, 1 + 1e-12]],
    *[(ContinuousBernoulliConfig(), v) for v in [*NOT_FINITE, -1e-12, 1 + 1e-12]],
    *[(DiscretizedLogisticConfig(levels=17), v) for v in [*NOT_FINITE, -1.0, 0.5, 17.0]],
    *[(DiscretizedNormalConfig(levels=2), v) for v in [*NOT_FINITE, -1.0, 0.5, 2.0]],
    *[(NormalConfig(), v) for v in NOT_FINITE],
]


@pytest.mark.parametrize(("config", "value"), REFUSED)
def test_a_value_outside_the_support_is_refused_by_item_and_value(config, value):
    module = likelihood_of(config, (1, 2, 2))
    x = torch.zeros(5, 1, 2, 2, dtype=torch.float64)
    x[1, 0, 1, 0] = value
    x[4] = value
    with pytest.raises(OutOfSupport) as caught:
        module.check_support(x)
    assert caught.value.items == tuple((i, f"received the value {value:g}") for i in (1, 4))
    assert module.support_words in str(caught.value)
    assert str(caught.value).startswith("2 of 5 items hold values outside")
    assert f"(item 1: received the value {value:g})" in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_the_edges_of_the_support_are_inside(config):
    module = likelihood_of(config, (1, 2, 2))
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    x[1] = module.unit_scale
    module.check_support(x)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_set_the_support_and_the_unit_scale(levels):
    for config in (
        DiscretizedLogisticConfig(levels=levels),
        DiscretizedNormalConfig(levels=levels),
    ):
        module = likelihood_of(config, (1, 1, 1))
        assert module.unit_scale == levels - 1
        module.check_support(pixels(range(levels)))
        with pytest.raises(OutOfSupport, match=rf"the integers 0\.\.{levels - 1}"):
            module.check_support(pixels([levels]))
