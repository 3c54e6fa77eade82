"""Validation: the bound that the objective maximises, of the held-out images, with its error."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.estimators.bounds import squared_error
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.vae.model import VAE
from tests import oracle
from tests.models.family_cases import family
from training.fit.batches import Data
from training.fit.objectives import UNLABELLED
from training.fit.validation import validate
from training.recipes.objective import (
    AutoencoderConfig,
    CapacityConfig,
    ELBOConfig,
    IWAEConfig,
    M2Config,
)


def data_of(x: Tensor, y: Tensor | None = None) -> Data:
    cache = torch.zeros(1, *x.shape[1:], dtype=torch.uint8)
    return Data(cache, None if y is None else y[:1], x, y, sha256="")


def test_the_elbo_is_validated_with_the_same_draws_as_by_evaluation():
    instance = oracle.instance("medium")
    x = instance.draw(501)  # two batches
    bound_nats, error_nats, accuracy = validate(instance.vae, data_of(x), ELBOConfig(num_samples=2))
    assert accuracy is None
    expected = estimate_elbo(instance.vae, x, num_samples=2, seed=0)
    assert bound_nats == pytest.approx(float(expected.elbo_nats.mean()), rel=1e-12)
    assert error_nats == pytest.approx(float(expected.elbo_nats.std()) / 501**0.5, rel=1e-12)
    bound_nats, *_ = validate(instance.vae, data_of(x), IWAEConfig(num_samples=3))
    expected = estimate_log_px(instance.vae, x, num_samples=3, seed=0).estimate_nats
    assert bound_nats == pytest.approx(float(expected.mean()), rel=1e-12)


def test_a_weighted_kl_is_weighted_there_too():
    instance = oracle.instance("medium")
    x = instance.draw(20)
    parts = estimate_elbo(instance.vae, x, num_samples=1, seed=0)
    fit, kl = float(parts.expected_log_likelihood_nats.mean()), float(parts.kl_nats.mean())
    bound_nats, *_ = validate(instance.vae, data_of(x), ELBOConfig(beta=3.0))
    assert bound_nats == pytest.approx(fit - 3 * kl)
    capacity = CapacityConfig(gamma=3.0, capacity_nats=kl + 2)
    bound_nats, *_ = validate(instance.vae, data_of(x), capacity)
    assert bound_nats == pytest.approx(fit - 6)


def labelled(name: str) -> tuple[VAE, Tensor, Tensor]:
    torch.manual_seed(0)
    x, y = torch.randint(0, 2, (7, 1, 4, 4)).float(), torch.arange(7) % 3
    return VAE(family(name)).eval().requires_grad_(False), x, y


def test_labels_are_given_to_a_conditional_model():
    vae, x, y = labelled("label-prior")
    bound_nats, _, accuracy = validate(vae, data_of(x, y), ELBOConfig())
    assert accuracy is None  # a label without a classifier takes many draws
    given = estimate_elbo(vae, x, num_samples=1, seed=0, y=y).elbo_nats
    assert bound_nats == pytest.approx(float(given.mean()), rel=1e-6)


def test_m2_is_validated_by_the_bound_on_image_and_label_where_all_labels_are_known():
    vae, x, y = labelled("m2")
    bound_nats, *_ = validate(vae, data_of(x, y), M2Config())
    given = estimate_elbo(vae, x, num_samples=1, seed=0, y=y).elbo_nats
    joint = float(given.mean()) + float(vae.log_label_prior[y].mean())
    assert bound_nats == pytest.approx(joint, rel=1e-6)


def test_m2_is_validated_by_the_bound_on_the_image_alone_where_labels_are_missing():
    vae, x, y = labelled("m2")
    data = replace(data_of(x, y), labels=torch.tensor([UNLABELLED]))
    bound_nats, *_ = validate(vae, data, M2Config())
    summed = estimate_elbo(vae, x, num_samples=1, seed=0).elbo_nats
    assert bound_nats == pytest.approx(float(summed.mean()), rel=1e-6)


def test_a_classifier_is_asked_for_every_label_also_where_training_knows_few():
    vae, x, _ = labelled("m2")
    named = vae.label_logits(x).argmax(1)
    wrong = torch.cat([named[:5], (named[5:] + 1) % 3])
    data = replace(data_of(x, wrong), labels=torch.tensor([UNLABELLED]))
    assert validate(vae, data, M2Config()).label_accuracy == pytest.approx(5 / 7)


def test_an_autoencoder_is_validated_by_its_error():
    x = torch.rand(7, 1, 4, 4)
    vae = VAE(family("autoencoder")).eval().requires_grad_(False)
    bound_nats, error, _ = validate(vae, data_of(x), AutoencoderConfig())
    assert bound_nats == pytest.approx(-float(squared_error(vae, x).mean()))
    assert error > 0
    assert validate(vae, data_of(x[:1]), AutoencoderConfig())[1] == float("inf")
