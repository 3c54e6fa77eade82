"""The ratio of a ladder's layers against a direct sum over many draws, and image by image."""

import numpy as np
import pytest
import torch

from models.estimators.anomaly import measure
from models.estimators.layers import has_layers, layers_ratio_steps
from models.estimators.steps import run_steps, without_steps
from models.vae.model import VAE
from tests.models.family_cases import family

ratio = without_steps(layers_ratio_steps)
DRAWS = {"num_samples": 4_000, "seed": 1, "first_item": 0, "chunk_rows": 512}


@pytest.fixture(scope="module")
def ladder():
    torch.manual_seed(0)
    vae = VAE(family("ladder"))
    with torch.no_grad():  # layers that depend on each other
        for parameter in vae.parameters():
            parameter.mul_(2.0)
    return vae.freeze()


def pictures(count):
    return (torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.5).float()


@torch.no_grad()
def by_hand(vae, x, count):
    """Both bounds by draws of its own."""
    q, prior = vae.posterior(x), vae.prior(None)
    generator = torch.Generator().manual_seed(100)
    z = q.from_noise(torch.randn(count, len(x), 5, generator=generator))
    lower, upper = z.split(q.sizes, -1)
    terms_q, terms_p = q.log_prob_per_group(z), prior.log_prob_per_group(z)
    whole = vae.likelihood(z).log_prob(x) + (terms_p - terms_q).sum(-1)
    normal = prior.conditional(0, upper)
    fresh = normal.loc + normal.scale * torch.randn(lower.shape, generator=generator)
    above = vae.likelihood(torch.cat([fresh, upper], -1)).log_prob(x)
    found = (whole - above - (terms_p - terms_q)[..., 1]).double().numpy()
    return found.mean(0), found.std(0) / np.sqrt(count)


def test_the_ratio_is_the_difference_of_both_bounds(ladder):
    x = pictures(3)
    found = ratio(ladder, x, **DRAWS).numpy()
    mean, error = by_hand(ladder, x, 4_000)
    assert (error < 0.3).all()
    assert (np.abs(found - mean) < 6 * error).all()
    assert (np.abs(found) > 5 * error).any()


def test_an_image_depends_on_itself_and_its_place_alone(ladder):
    x = pictures(4)
    draws = {**DRAWS, "num_samples": 6}
    whole = ratio(ladder, x, **draws)
    parts = [ratio(ladder, x[i : i + 2], **{**draws, "first_item": i}) for i in (0, 2)]
    assert torch.equal(whole, torch.cat(parts))
    assert measure(ladder, x, levels=2, seed=1, num_samples=6).layers_ratio.tolist() == (
        whole.tolist()
    )


def test_ladders_alone_have_layers_from_the_top_down(ladder):
    assert has_layers(ladder)
    assert has_layers(VAE(family("conv-ladder")))
    for name in ("standard", "two-layers", "labelled-ladder"):
        assert not has_layers(VAE(family(name)))
    conv = VAE(family("conv-ladder")).freeze()
    steps = layers_ratio_steps(conv, pictures(2), **{**DRAWS, "num_samples": 3})
    assert run_steps(steps).shape == (2,)
