"""Latent traversals, against the oracle, whose decoder and posterior are affine."""

import pytest
import torch

from models.errors import InputError, UnsupportedOperation
from tests import oracle
from tests.training.trained_cases import of_family, of_oracle
from training.studies.traversals import prior_scale, traversals


def test_traversals_are_ordered_by_activity_and_follow_the_decoder() -> None:
    instance = oracle.instance("medium")
    x = instance.draw(200)
    found = traversals(of_oracle(instance, x), image=4, num_rows=3, num_steps=5)
    loc, scale = instance.exact_posterior(x)
    loc = loc + 0.1 * scale
    order = loc.var(0).argsort(descending=True).tolist()
    assert [row.dimension for row in found.rows] == order[:3]
    assert found.steps == (-3.0, -1.5, 0.0, 1.5, 3.0)
    for row, picture in zip(found.rows, found.pictures, strict=True):
        for step, shown in zip(found.steps, picture, strict=True):
            z = loc[4].clone()
            z[row.dimension] += step
            expected = instance.loading @ z + instance.bias
            assert torch.allclose(shown.flatten(), expected)
        moved = 6 * instance.loading[:, row.dimension]
        assert row.prior_scale == 1.0
        assert row.change == pytest.approx(moved.square().mean().sqrt().item())
    assert found.centre == "test image 4"


def test_the_origin_and_a_label_may_be_the_centre() -> None:
    model = of_family("label-prior")
    found = traversals(model, image=None, label=2, num_steps=3)
    assert found.centre == "z = 0, label 2"
    middle = model.vae.likelihood(torch.zeros(1, 2), torch.tensor([2])).mean
    assert torch.allclose(found.pictures[0, 1], middle[0])
    assert traversals(model, image=None).centre == "z = 0, label 0"
    assert traversals(of_family("m2"), image=1).centre.startswith("test image 1, label ")


def test_what_is_not_there_cannot_be_the_centre() -> None:
    with pytest.raises(InputError, match=r"no test image 12: the positions are 0 to 11"):
        traversals(of_family("standard"), image=12)
    with pytest.raises(InputError, match="m2 has no label 3: its labels are 0 to 2") as caught:
        traversals(of_family("m2"), label=3)
    assert caught.value.details == {"parameter": "label", "received": 3, "allowed": [0, 1, 2]}
    with pytest.raises(InputError, match="standard takes no label"):
        traversals(of_family("standard"), label=0)
    for name, words in (("autoencoder", "an autoencoder"), ("categorical", "a mixture")):
        with pytest.raises(UnsupportedOperation, match=f"{name} is {words}"):
            traversals(of_family(name))


def test_scales_of_a_prior_are_its_own_or_those_of_its_draws() -> None:
    assert prior_scale(of_family("standard").vae, None).tolist() == [1.0, 1.0]
    labelled = of_family("label-prior").vae
    assert torch.equal(
        prior_scale(labelled, torch.tensor([1])), labelled.prior(torch.tensor([1])).scale[0]
    )
    vae = of_family("mixture").vae
    components = vae.prior().components
    spread = components.loc.var(0, unbiased=False) + components.scale.square().mean(0)
    assert prior_scale(vae, None).square() == pytest.approx(spread, rel=0.15)
    assert prior_scale(of_family("conv-ladder").vae, None).shape == (10,)
