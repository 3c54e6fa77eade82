"""What `FromNoise` gives every distribution: shapes, draws, expansion, gradients; float64."""

from typing import get_args

import pytest
import torch

from models.config import LikelihoodConfig
from models.distributions.batch_noise import BatchNoise
from models.distributions.from_noise import FromNoise
from models.distributions.point import Point
from models.errors import UnsupportedOperation
from models.vae.model import VAE
from tests.models.distribution_cases import full, mixture, normal, one_hot
from tests.models.family_cases import family
from tests.models.likelihood_cases import CONFIGS, make, name_of


def of_a_family(name, part):
    torch.manual_seed(0)
    vae = VAE(family(name)).double().eval()
    return vae.prior() if part == "prior" else vae.posterior(torch.ones(4, 1, 4, 4).double())


MAKERS = {
    **{name_of(c): lambda c=c: make(c, (1, 3, 2))[2] for c in CONFIGS},
    "colour": lambda: make(CONFIGS[3], (3, 3, 2))[2],
    "pixel": lambda: make(CONFIGS[0], (1, 1, 1), batch=())[2],
    "diagonal": lambda: normal(4, 2, 3, event_dim=2),
    "full": lambda: full(batch=4),
    "mixture": lambda: mixture(2, 3),
    "one-hot": lambda: one_hot(4),
    "point": lambda: Point(torch.arange(6.0).double().reshape(2, 3), event_dim=1),
    "top-down": lambda: of_a_family("two-layers", "prior"),
    "bottom-up": lambda: of_a_family("two-layers", "posterior"),
    "ladder": lambda: of_a_family("ladder", "posterior"),
}
DISCRETE = {"Bernoulli", "DiscretizedLogistic", "DiscretizedNormal", "MixtureOfNormals", "OneHot"}

each = pytest.mark.parametrize("name", MAKERS)


def every_class(cls=FromNoise):
    found = {cls} if not cls.__abstractmethods__ else set()
    return found.union(*(every_class(sub) for sub in cls.__subclasses__()))


def test_every_distribution_is_tested_here():
    assert {type(make()) for make in MAKERS.values()} == every_class()
    kinds = {part.model_fields["kind"].default for part in get_args(get_args(LikelihoodConfig)[0])}
    assert {c.kind for c in CONFIGS} | {"point"} == kinds


@each
def test_draws_and_their_densities_have_the_distributions_shapes(name):
    d = MAKERS[name]()
    batch, event = tuple(d.batch_shape), tuple(d.event_shape)
    assert d.mean.shape == (*batch, *event)
    assert d.noise_shape() == (*batch, *d.noise_event_shape)
    noise = torch.full(d.noise_shape((5, 2)), 0.5, dtype=torch.float64)
    z = d.from_noise(noise)
    assert z.shape == (5, 2, *batch, *event)
    assert z.dtype == torch.float64
    if name != "point":
        assert d.log_prob(z).shape == (5, 2, *batch)


@each
def test_a_sample_is_the_draw_of_the_global_generators_noise(name):
    d = MAKERS[name]()
    torch.manual_seed(3)
    draw = torch.randn if d.noise_kind == "normal" else torch.rand
    expected = d.from_noise(draw(d.noise_shape((6,)), dtype=torch.float64))
    torch.manual_seed(3)
    found = d.sample((6,))
    assert torch.equal(found, expected)
    assert not found.requires_grad


@each
def test_only_a_differentiable_draw_can_be_reparameterised(name):
    d = MAKERS[name]()
    assert d.has_rsample == (type(d).__name__ not in DISCRETE)
    torch.manual_seed(3)
    if d.has_rsample:
        drawn = d.rsample((6,))
        torch.manual_seed(3)
        assert torch.equal(drawn, d.sample((6,)))
    else:
        with pytest.raises(UnsupportedOperation, match=r"no reparameterised draw. Call sample\(\)"):
            d.rsample()


@each
def test_an_expansion_repeats_the_distribution(name):
    d = MAKERS[name]()
    batch, event = tuple(d.batch_shape), tuple(d.event_shape)
    wide = d.expand((3, *batch))
    assert type(wide) is type(d)
    assert (wide.batch_shape, wide.event_shape) == ((3, *batch), event)
    assert d.batch_shape == batch
    assert wide.noise_shape((2,)) == (2, 3, *d.noise_shape())
    assert torch.equal(wide.mean, d.mean.expand(3, *batch, *event))
    noise = torch.tensor([0.01, 0.4, 0.99], dtype=torch.float64)
    noise = noise.reshape(3, *[1] * len(d.noise_shape())).expand(wide.noise_shape())
    z = wide.from_noise(noise)
    assert torch.equal(z, torch.stack([d.from_noise(part) for part in noise]))
    if name != "point":
        torch.testing.assert_close(wide.log_prob(z), d.log_prob(z), rtol=1e-14, atol=1e-14)
        same = wide.log_prob(z[0])
        torch.testing.assert_close(same, d.log_prob(z[0]).expand(3, *batch))


@each
def test_a_detached_distribution_has_the_same_draws_and_no_gradient_of_its_parameters(name):
    d = MAKERS[name]()
    noise = torch.full(d.noise_shape((2,)), 0.4, dtype=torch.float64)
    stopped = d.detached()
    assert type(stopped) is type(d)
    z = stopped.from_noise(noise)
    assert torch.equal(z, d.from_noise(noise))
    assert not z.requires_grad
    assert not stopped.mean.requires_grad


@each
def test_a_distribution_prints_its_shapes(name):
    d = MAKERS[name]()
    batch, event = tuple(d.batch_shape), tuple(d.event_shape)
    assert repr(d) == f"{type(d).__name__}(batch_shape={batch}, event_shape={event})"


@each
def test_a_temperature_of_one_changes_nothing_and_zero_gives_a_location_of_normals(name):
    d = MAKERS[name]()
    low, high = (torch.full(d.noise_shape((2,)), v, dtype=torch.float64) for v in (0.1, 0.9))
    assert torch.equal(d.from_noise(low, temperature=1.0), d.from_noise(low))
    cold = d.from_noise(low, temperature=0.0)
    if d.noise_kind == "uniform":
        assert torch.equal(cold, d.from_noise(low))
    elif name != "mixture":  # whose choice of a component has no temperature
        assert torch.equal(cold, d.from_noise(high, temperature=0.0))
        assert torch.equal(cold, d.mean.expand(cold.shape))


@each
def test_a_batch_of_noise_suits_the_distribution(name):
    d = MAKERS[name]()
    items = d.batch_shape[0] if d.batch_shape else 4
    noise = BatchNoise(0, items, "prior").draw_for(d, 3, dtype=torch.float64)
    assert noise.shape == (3, items, *d.noise_event_shape)
    assert d.from_noise(noise).shape == (3, items, *d.event_shape)
