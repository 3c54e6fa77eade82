"""The principal path: fixed components beside both networks, for pictures of any size."""

import pytest
import torch
from torch.nn import functional as F

from models.config import DiscretizedLogisticConfig, DiscretizedNormalConfig, MLPConfig
from models.vae import VAE
from models.vae.principal import PrincipalPath
from models.vae_config import VAEConfig

NETWORK = MLPConfig(hidden=(12,))
LOGISTICS = DiscretizedLogisticConfig(levels=17, num_mixtures=2)
LIKELIHOODS = [LOGISTICS, DiscretizedNormalConfig(levels=17)]


def make(likelihood=LOGISTICS, *, channels=3, principal_path=True, **fields) -> VAE:
    """A model in eval mode whose path, if it has one, is random."""
    torch.manual_seed(0)
    config = VAEConfig(
        image_shape=(channels, 6, 5),
        latent_shape=(3,),
        likelihood=likelihood,
        encoder=NETWORK,
        decoder=NETWORK,
        principal_path=principal_path,
        **fields,
    )
    vae = VAE(config).eval()
    if principal_path:
        for parameter in vae.principal.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return vae


def observations(vae: VAE, count: int) -> torch.Tensor:
    x = torch.rand(count, *vae.image_shape, generator=torch.Generator().manual_seed(1))
    return (x * vae.unit_scale).round()


@pytest.mark.parametrize("side", [28, 64])
def test_pictures_of_up_to_4096_numbers_are_taken_as_they_are(side):
    path = PrincipalPath((1, side, side), (2,))
    pictures = torch.rand(2, 1, side, side)
    assert torch.equal(path.halve(pictures), pictures)
    assert torch.equal(path.grow(pictures), pictures)


@pytest.mark.parametrize(("size", "halvings"), [((64, 64), 1), ((96, 128), 2), ((256, 256), 3)])
def test_larger_ones_are_means_of_pixels_and_come_back_by_linear_interpolation(size, halvings):
    path, pictures = PrincipalPath((3, *size), (2,)), torch.rand(2, 3, *size)
    small = path.halve(pictures)
    torch.testing.assert_close(small, F.avg_pool2d(pictures, 2**halvings))
    expected = small
    for _ in range(halvings):
        expected = F.interpolate(expected, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(path.grow(small), expected)


def test_odd_sides_are_halved_upwards_and_cut_again():
    path, flat = PrincipalPath((3, 101, 75), (2,)), torch.full((2, 3, 101, 75), 0.25)
    assert path.halve(flat).shape == (2, 3, 26, 19)
    assert torch.equal(path.grow(path.halve(flat)), flat)


def test_a_new_path_moves_nothing_and_is_not_trained():
    path = PrincipalPath((3, 6, 5), (4,))
    assert not path.location(torch.rand(2, 3, 6, 5)).any()
    assert not path.picture(torch.rand(5, 2, 4)).any()
    assert path.picture(torch.rand(5, 2, 4)).shape == (5, 2, 3, 6, 5)
    assert not any(parameter.requires_grad for parameter in path.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda one: one.kind)
def test_the_posterior_and_the_picture_are_moved_by_the_path_alone(likelihood, channels):
    vae = make(likelihood, channels=channels)
    plain = make(likelihood, channels=channels, principal_path=False)
    plain.load_state_dict(
        {name: value for name, value in vae.state_dict().items() if "principal" not in name}
    )
    x, z = observations(vae, 4), torch.randn(2, 4, 3)
    moved, before = vae.posterior(x), plain.posterior(x)
    location = vae.principal.location(x / 8 - 1)
    torch.testing.assert_close(moved.loc, vae.principal.scale * before.loc + location)
    assert torch.equal(moved.scale, before.scale)
    # The first channel has no earlier one: its location is the network's, at the picture.
    loc, picture = vae.likelihood(z).loc, vae.principal.picture(z)
    first = picture[..., :1, :, :] if likelihood is not LOGISTICS else picture[..., None, :1, :, :]
    torch.testing.assert_close(
        loc[..., :1, :, :] - plain.likelihood(z).loc[..., :1, :, :],
        first.expand_as(loc[..., :1, :, :]),
    )


def test_the_couplings_of_colours_are_those_of_what_the_picture_leaves_out():
    module = make().get_submodule("_likelihood")
    params = torch.randn(4, 20, 6, 5).double()
    picture = torch.rand(4, 3, 6, 5).double() - 0.5
    about, plain = module(params, picture), module(params)
    x = (picture + 1) * 8  # on the scale of levels
    conditional = about._conditional_loc(about._scaled(x).unsqueeze(1))
    torch.testing.assert_close(conditional, plain.loc + picture.unsqueeze(1))


@pytest.mark.parametrize("posterior", ["diagonal_normal", "full_normal"])
def test_a_row_does_not_depend_on_the_others(posterior):
    vae = make(posterior={"kind": posterior}).freeze()
    x, z = observations(vae, 33), torch.randn(33, 3)
    params, loc = vae.posterior_params(x), vae.likelihood(z).loc
    for row in (0, 7, 32):
        assert torch.equal(vae.posterior_params(x[row : row + 1])[0], params[row])
        assert torch.equal(vae.likelihood(z[row : row + 1]).loc[0], loc[row])


def test_every_labels_posterior_is_that_of_its_label():
    vae = make(num_labels=3)
    torch.nn.init.normal_(vae.label_pictures)
    x = observations(vae, 4)
    rows, labels = vae.every_label(x)
    together, alone = vae.posterior_of_every_label(x), vae.posterior(rows, labels)
    torch.testing.assert_close(together.loc, alone.loc)
    torch.testing.assert_close(together.scale, alone.scale)
    assert vae.log_weights(x, torch.zeros(2, 4, 3)).isfinite().all()


def test_the_path_counts_among_the_decoders_cost():
    assert make().decoder_macs() - make(principal_path=False).decoder_macs() == 3 * 90


def test_a_step_leaves_the_path_as_it_is_and_moves_what_corrects_it():
    vae = make().train()
    x = observations(vae, 4)
    (-vae.log_weights(x, torch.randn(1, 4, 3)).mean()).backward()
    for name, parameter in vae.named_parameters():
        has_gradient = parameter.grad is not None and bool(parameter.grad.any())
        assert has_gradient != name.startswith("principal."), name
