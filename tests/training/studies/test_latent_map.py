"""Latent maps: the plane and the centres of labels, against scikit-learn's components."""

import math
from dataclasses import replace

import pytest
import torch
from sklearn.decomposition import PCA

from models.errors import UnsupportedOperation
from models.vae.model import VAE
from tests import oracle
from tests.models.family_cases import family
from tests.training.trained_cases import of_family, of_oracle
from training.studies.latent_map import Map, MapRow, centres, latent_map, principal_plane


def test_the_map_of_two_dimensions_is_the_posterior_mean_itself() -> None:
    model = of_family("standard")
    found = latent_map(model)
    mean = model.vae.posterior(model.x).mean
    points = torch.tensor([(row.first, row.second) for row in found.rows])
    assert torch.allclose(points, mean)
    assert [row.label for row in found.rows] == [0, 1, 2] * 4
    assert found.axes == ("E[z_0 | x]", "E[z_1 | x]")
    unlabelled = latent_map(replace(model, labels=None))
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
    with pytest.raises(UnsupportedOperation, match="one latent dimension, and a map needs two"):
        latent_map(replace(of_family("standard"), vae=line))


def test_centres_are_the_means_of_each_label() -> None:
    rows = [MapRow(0, 1, 1.0, 5.0), MapRow(1, 1, 3.0, 5.0), MapRow(2, 0, 9.0, 9.0)]
    first, second = centres(Map(rows, ("a", "b"), ""))
    assert (first.label, first.n, first.first) == (0, 1, 9.0)
    assert math.isnan(first.first_error)
    assert (second.n, second.first, second.first_error) == (2, 2.0, 1.0)


def test_a_mixture_has_no_map() -> None:
    with pytest.raises(UnsupportedOperation, match="categorical is a mixture"):
        latent_map(of_family("categorical"))
