"""The objective of M2: labels that are known, unknown, and both."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_divergence
from models.estimators.elbo import estimate_elbo
from models.vae.model import VAE
from tests.training.fit.objective_cases import START, binary, normals, number, of_family
from training.fit.objectives import (
    ELBO,
    M2,
    UNLABELLED,
    Batch,
    Position,
)
from training.recipes.objective import (
    ELBOConfig,
    M2Config,
)

PRIOR_OF_LABELS = (0.5, 0.3, 0.2)


def elbo_given(vae: VAE, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
    """One draw's ELBO given the label, with the analytic KL, (row,)."""
    q = vae.posterior(x, y)
    log_likelihood = vae.likelihood(q.from_noise(noise), y).log_prob(x).mean(0)
    return log_likelihood - kl_divergence(q, vae.prior(y))


@pytest.fixture(scope="module", params=["m2", "m2 with p(z|y)"])
def m2(request: pytest.FixtureRequest) -> VAE:
    more = {} if request.param == "m2" else {"prior": {"kind": "label_normal"}}
    return of_family("m2", label_probabilities=PRIOR_OF_LABELS, **more)


def test_m2_with_every_label_and_no_alpha_is_its_labelled_bound(m2: VAE):
    x, y, noise = binary(6), torch.arange(6) % 3, normals(2, 6, 2)
    terms = M2(m2, M2Config(alpha=0.0))(Batch(x, y), noise, START)
    log_prior = torch.tensor(PRIOR_OF_LABELS, dtype=torch.float64).log()[y]
    bound = (elbo_given(m2, x, y, noise) + log_prior).mean()
    assert number(terms.loss) == pytest.approx(-number(bound), rel=1e-6)  # p(y) is in float32
    plain = ELBO(m2, ELBOConfig())(Batch(x, y), noise, START)
    assert number(terms.loss) == pytest.approx(number(plain.loss - log_prior.mean()), rel=1e-6)
    terms.loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in m2.classifier.parameters())
    m2.zero_grad()


class Asked(TorchDispatchMode):
    """Counts what a step asks the device for: a number, or which rows a mask has."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = args[1] if func is torch.ops.aten.index.Tensor else []
        is_mask = any(one is not None and one.dtype == torch.bool for one in masks)
        self.count += is_mask or func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_m2_of_a_labelled_batch_is_the_same_and_asks_no_more_than_the_elbo(m2: VAE):
    x, y, noise = binary(6), torch.arange(6) % 3, normals(2, 6, 2)
    known = Batch(x, y, is_labelled=True)
    found, asked = [], []
    for objective, batch in (
        (M2(m2, M2Config()), Batch(x, y)),
        (M2(m2, M2Config()), known),
        (ELBO(m2, ELBOConfig()), known),
    ):
        with Asked() as mode:
            terms = objective(batch, noise, START)
            terms.loss.backward()
        asked.append(mode.count)
        gradients = [p.grad for p in m2.parameters() if p.grad is not None]
        found.append([terms.loss.detach(), *gradients])
        m2.zero_grad()
    assert all(torch.equal(one, other) for one, other in zip(*found[:2], strict=True))
    assert asked[0] > asked[1]
    assert asked[1] == asked[2]  # F.one_hot asks on a CPU alone


def test_rows_of_a_labelled_batch_are_labelled():
    batch = Batch(binary(6), torch.arange(6) % 3, is_labelled=True)
    assert batch.rows(slice(2, 5)).is_labelled
    assert batch.to(torch.float16).is_labelled


def unlabelled_bound(vae: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """U(x), label by label."""
    log_q = vae.label_logits(x).log_softmax(-1)
    total = torch.zeros(len(x), dtype=torch.float64)
    for label, probability in enumerate(PRIOR_OF_LABELS):
        y = torch.full((len(x),), label)
        log_joint = elbo_given(vae, x, y, noise) + torch.tensor(probability).double().log()
        total = total + log_q[:, label].exp() * (log_joint - log_q[:, label])
    return total


def test_m2_without_labels_sums_over_all_of_them(m2: VAE):
    x, noise = binary(5), normals(2, 5, 2)
    terms = M2(m2, M2Config())(Batch(x, torch.full((5,), UNLABELLED)), noise, START)
    expected = unlabelled_bound(m2, x, noise).mean()
    assert number(terms.loss) == pytest.approx(-number(expected), rel=1e-6)
    assert number(terms.scalars["elbo_nats"]) == pytest.approx(number(expected), rel=1e-6)
    assert number(terms.scalars["classification_nats"]) == 0.0
    assert terms.loss.isfinite()


def test_m2_without_labels_is_the_elbo_that_evaluation_gives_for_the_same_noise(m2: VAE):
    x = binary(5)
    noise = BatchNoise(3, 5, "posterior").draw(4, (2,), dtype=x.dtype)
    terms = M2(m2, M2Config(num_samples=4))(Batch(x, torch.full((5,), UNLABELLED)), noise, START)
    estimate = estimate_elbo(m2, x, num_samples=4, seed=3)
    assert number(terms.scalars["elbo_nats"]) == pytest.approx(number(estimate.elbo_nats.mean()))
    assert number(terms.scalars["rate_nats"]) == pytest.approx(number(estimate.kl_nats.mean()))


def test_m2_warms_up_the_kl_of_the_latent_alone(m2: VAE):
    x, noise = binary(5), normals(2, 5, 2)
    unknown = Batch(x, torch.full((5,), UNLABELLED))
    log_q = m2.label_logits(x).log_softmax(-1)
    label_kl = (log_q.exp() * (log_q - m2.log_label_prior)).sum(-1).mean()
    full, none = (
        M2(m2, M2Config())(unknown, noise, Position(0, 0.0, 0.0, kl_weight=weight))
        for weight in (1.0, 0.0)
    )
    latent_kl = full.scalars["rate_nats"] - label_kl
    assert number(full.loss - none.loss) == pytest.approx(number(latent_kl))
    assert number(none.loss) == pytest.approx(number(none.scalars["distortion_nats"] + label_kl))
    assert number(none.scalars["elbo_nats"]) == number(full.scalars["elbo_nats"])


def test_m2_logs_the_entropy_of_the_labels_that_it_does_not_know(m2: VAE):
    x, noise = binary(4), normals(1, 4, 2)
    y = torch.tensor([UNLABELLED, 2, UNLABELLED, 0])
    q = torch.distributions.Categorical(logits=m2.label_logits(x[y == UNLABELLED]))
    terms = M2(m2, M2Config())(Batch(x, y), noise, START)
    entropy = terms.scalars["label_entropy_nats"]
    assert number(entropy) == pytest.approx(number(q.entropy().mean()))
    known = Batch(x, torch.tensor([0, 1, 2, 0]))
    assert number(M2(m2, M2Config())(known, noise, START).scalars["label_entropy_nats"]) == 0
    known = known._replace(is_labelled=True)
    assert "label_entropy_nats" not in M2(m2, M2Config())(known, noise, START).scalars


def test_m2_takes_each_bound_for_its_own_images_and_the_classifier_for_those_with_labels(m2: VAE):
    x, noise = binary(6), normals(1, 6, 2)
    y = torch.tensor([UNLABELLED, 2, UNLABELLED, 0, 1, UNLABELLED])
    known = y != UNLABELLED
    log_prior = torch.tensor(PRIOR_OF_LABELS, dtype=torch.float64).log()[y[known]]
    bounds = torch.cat(
        [
            elbo_given(m2, x[known], y[known], noise[:, known]) + log_prior,
            unlabelled_bound(m2, x[~known], noise[:, ~known]),
        ]
    )
    assert len(bounds) == 6
    entropy = cross_entropy(m2.label_logits(x[known]), y[known])
    terms = M2(m2, M2Config(alpha=3.0))(Batch(x, y), noise, START)
    expected = -bounds.mean() + 3 * entropy
    assert number(terms.loss) == pytest.approx(number(expected), rel=1e-6)
    taught = Batch(binary(4, seed=9), torch.tensor([0, 1, 2, 0]))
    entropy = cross_entropy(m2.label_logits(taught.x), torch.tensor([0, 1, 2, 0]))
    summed = M2(m2, M2Config(alpha=3.0, balanced=False))(Batch(x, y, taught), noise, START)
    assert number(summed.loss) == pytest.approx(number(-bounds.mean() + 3 * entropy), rel=1e-6)
    labels = torch.tensor([0, 1, 2, 0])
    log_prior = torch.tensor(PRIOR_OF_LABELS, dtype=torch.float64).log()[labels]
    bounds = torch.cat(
        [
            elbo_given(m2, taught.x, labels, noise[:, :4]) + log_prior,
            unlabelled_bound(m2, x[~known], noise[:, ~known]),
        ]
    )
    assert len(bounds) == 7
    balanced = M2(m2, M2Config(alpha=3.0))(Batch(x, y, taught), noise, START)
    assert number(balanced.loss) == pytest.approx(number(-bounds.mean() + 3 * entropy), rel=1e-6)


def test_m2_works_with_groups_of_latents_whose_kl_is_sampled():
    vae = of_family("labelled-ladder", classifier={"kind": "mlp", "hidden": [8]})
    x, noise = binary(4), normals(3, 4, 5)
    y = torch.tensor([0, UNLABELLED, 2, 1])
    terms = M2(vae, M2Config(alpha=0.0))(Batch(x, y), noise, START)
    known = M2(vae, M2Config(alpha=0.0))
    parts = [known(Batch(x[i : i + 1], y[i : i + 1]), noise[:, i : i + 1], START) for i in range(4)]
    mean = sum(number(part.loss) for part in parts) / 4
    assert number(terms.loss) == pytest.approx(mean)
