"""What a latent does, against the oracle, whose decoder and posterior are affine."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.decomposition import PCA

from models.errors import InputError, UnsupportedOperation
from models.estimators.bounds import active_units
from models.estimators.elbo import estimate_elbo
from models.vae.model import VAE
from tests import oracle
from tests.models.family_cases import family
from tests.training.subject_cases import of_family, of_oracle
from training.studies.latents import (
    ACTIVE,
    Map,
    MapRow,
    centres,
    latent_map,
    latent_use,
    principal_plane,
    prior_scale,
    traversals,
)


def test_kl_and_activity_are_the_oracles_sorted_by_kl() -> None:
    instance = oracle.instance("medium")
    x = instance.draw(50)
    rows = latent_use(of_oracle(instance, x))
    loc, scale = instance.exact_posterior(x)
    loc, scale = loc + 0.1 * scale, 0.9 * scale
    kl = 0.5 * (scale**2 + loc**2 - 1) - scale.log()
    order = kl.mean(0).argsort(descending=True).tolist()
    assert [row.part for row in rows] == [f"dimension {i}" for i in order]
    for row, i in zip(rows, order, strict=True):
        assert row.kl_nats == pytest.approx(kl[:, i].mean().item())
        assert row.kl_error_nats == pytest.approx(kl[:, i].std().item() / math.sqrt(50))
        assert row.activity == pytest.approx(loc[:, i].var().item())
    assert sum(row.activity > ACTIVE for row in rows) == active_units(loc)


def test_groups_have_a_kl_and_their_dimensions_an_activity() -> None:
    subject = of_family("ladder")
    rows = latent_use(subject)
    assert sorted(row.part for row in rows[:5]) == [f"dimension {i}" for i in range(5)]
    activities = [row.activity for row in rows[:5]]
    assert activities == sorted(activities, reverse=True)
    assert all(math.isnan(row.kl_nats) for row in rows[:5])
    assert [row.part for row in rows[5:]] == ["group 1", "group 2"]
    estimate = estimate_elbo(subject.vae, subject.x, num_samples=10, seed=0)
    assert estimate.kl_per_group_nats is not None
    expected = estimate.kl_per_group_nats.mean(0).tolist()
    assert [row.kl_nats for row in rows[5:]] == pytest.approx(expected)
    assert all(math.isnan(row.activity) for row in rows[5:])


@pytest.mark.parametrize("name", ["autoencoder", "vamp", "full-mixture"])
def test_without_a_kl_per_dimension_the_activity_is_left(name: str) -> None:
    rows = latent_use(of_family(name))
    assert len(rows) == 2
    assert all(math.isnan(row.kl_nats) and row.activity_error > 0 for row in rows)


def test_a_mixture_has_no_dimensions() -> None:
    for study in (latent_use, latent_map, traversals):
        with pytest.raises(UnsupportedOperation, match="categorical is a mixture"):
            study(of_family("categorical"))


def test_the_map_of_two_dimensions_is_the_posterior_mean_itself() -> None:
    subject = of_family("standard")
    found = latent_map(subject)
    mean = subject.vae.posterior(subject.x).mean
    points = torch.tensor([(row.first, row.second) for row in found.rows])
    assert torch.allclose(points, mean)
    assert [row.label for row in found.rows] == [0, 1, 2] * 4
    assert found.axes == ("E[z_0 | x]", "E[z_1 | x]")
    unlabelled = latent_map(replace(subject, labels=None))
    assert {row.label for row in unlabelled.rows} == {-1}


def test_more_dimensions_are_mapped_by_the_components_of_the_active_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    means *= torch.tensor([1.0, 3.0, 0.01, 2.0])
    plane, shares, count = principal_plane(means)
    kept = means[:, [0, 1, 3]].numpy()
    fitted = PCA(2).fit(kept)
    assert count == 3
    assert shares == pytest.approx(tuple(fitted.explained_variance_ratio_))
    assert plane.abs().numpy() == pytest.approx(abs(fitted.transform(kept)))
    found = latent_map(of_oracle(oracle.instance("medium"), oracle.instance("medium").draw(30)))
    assert found.method == "PCA of 8 active dimensions"
    assert found.axes[0].startswith("first principal component of E[z | x] (")


def test_a_dead_latent_is_mapped_too_and_one_dimension_is_not() -> None:
    plane, _, count = principal_plane(torch.zeros(5, 3, dtype=torch.float64))
    assert (tuple(plane.shape), count) == ((5, 2), 3)
    line = VAE(family("standard", latent_shape=(1,))).freeze()
    with pytest.raises(UnsupportedOperation, match="has one"):
        latent_map(replace(of_family("standard"), vae=line))


def test_centres_are_the_means_of_each_label() -> None:
    rows = [MapRow(0, 1, 1.0, 5.0), MapRow(1, 1, 3.0, 5.0), MapRow(2, 0, 9.0, 9.0)]
    first, second = centres(Map(rows, ("a", "b"), ""))
    assert (first.label, first.n, first.first) == (0, 1, 9.0)
    assert math.isnan(first.first_error)
    assert (second.n, second.first, second.first_error) == (2, 2.0, 1.0)


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
    subject = of_family("label-prior")
    found = traversals(subject, image=None, label=2, num_steps=3)
    assert found.centre == "z = 0, label 2"
    middle = subject.vae.likelihood(torch.zeros(1, 2), torch.tensor([2])).mean
    assert torch.allclose(found.pictures[0, 1], middle[0])
    assert traversals(subject, image=None).centre == "z = 0, label 0"
    assert traversals(of_family("m2"), image=1).centre.startswith("test image 1, label ")


def test_what_is_not_there_cannot_be_the_centre() -> None:
    with pytest.raises(InputError, match=r"0\.\.11; received 12"):
        traversals(of_family("standard"), image=12)
    with pytest.raises(InputError, match="one of 3 of this model"):
        traversals(of_family("m2"), label=3)
    with pytest.raises(InputError, match="one of 0 of this model"):
        traversals(of_family("standard"), label=0)
    with pytest.raises(UnsupportedOperation, match="autoencoder"):
        traversals(of_family("autoencoder"))


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
