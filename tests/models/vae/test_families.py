"""What holds for every family that a config can name: one model, one set of promises."""

import pytest
import torch

from models.bundle.loading import load_bundle
from models.bundle.parity import parity_tensors
from models.distributions.batch_noise import BatchNoise
from models.errors import UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.estimators.labels import classify_steps
from models.estimators.steps import run_steps
from models.images.spec import ImageSpec
from models.vae import VAE
from tests.models.bundle_cases import config_of, save
from tests.models.family_cases import FAMILIES, family

LABELLED = [name for name in FAMILIES if "num_labels" in FAMILIES[name]]
SCORED = [name for name in FAMILIES if name != "autoencoder"]


def make(name, *, seed=0, **fields):
    """A model whose every parameter differs from every other one, in eval mode."""
    torch.manual_seed(seed)
    if "num_labels" in FAMILIES[name]:  # enough of them for a sum's order to matter
        fields = {"num_labels": 7, **fields}
    vae = VAE(family(name, **fields)).eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return vae


def pictures(vae, count, *, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *vae.image_shape, generator=generator).round()


def labels(vae, count):
    return torch.arange(count) % vae.num_labels if vae.num_labels else None


def spec_of(vae):
    channels, height, width = vae.image_shape
    if vae.config.likelihood.kind == "point":
        return ImageSpec(channels=channels, height=height, width=width, values="unit")
    return ImageSpec(
        channels=channels, height=height, width=width, levels=2, binarization="threshold"
    )


def everything(vae, x, y, noise):
    """All that is said of x, rows first."""
    q = vae.posterior(x, y)
    z = q.from_noise(noise)
    said = {"z": z.movedim(0, 1), "mean": q.mean, "picture": vae.likelihood(q.mean, y).mean}
    if hasattr(q, "scale"):
        said["scale"] = q.scale
    if vae.has_density:
        said["log q"] = q.log_prob(z).T
        said["log p"] = vae.log_joint(x, z, y).T
        said["log w"] = vae.log_weights(x, noise, y, posterior=q).T
    if vae.config.classifier is not None:
        said["label"] = vae.label_logits(x).log_softmax(-1)
    return said


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_is_bitwise_the_same_among_1_to_200_neighbours(name):
    vae = make(name).freeze()
    x, y = pictures(vae, 200), labels(vae, 200)
    rest = [slice(0, 1), slice(150, 153), slice(20, 37), slice(199, 200), slice(1, 120)]
    q = vae.posterior(x, y)
    noise = BatchNoise(0, 200, "posterior").draw_for(q, 3)
    among_all = everything(vae, x, y, noise)
    for rows in rest:
        part = everything(vae, x[rows], None if y is None else y[rows], noise[:, rows])
        for what, value in part.items():
            assert torch.equal(value, among_all[what][rows]), (what, rows)


@pytest.mark.parametrize("length", [1, 3, 50])
@pytest.mark.parametrize("name", ["full", "mixture", "vamp", "full-mixture", "categorical"])
def test_a_row_is_bitwise_the_same_for_latents_of_any_length(name, length):
    vae = make(name, latent_shape=(length,), image_shape=(1, 7, 5)).freeze()
    x = pictures(vae, 64)
    noise = BatchNoise(0, 64, "posterior").draw_for(vae.posterior(x), 2)
    among_all = everything(vae, x, None, noise)
    for rows in (slice(0, 1), slice(5, 6), slice(20, 37), slice(61, 64)):
        for what, value in everything(vae, x[rows], None, noise[:, rows]).items():
            assert torch.equal(value, among_all[what][rows]), (what, rows)


def scores(vae, x, y=None, *, first_item=0, chunk_rows=512):
    """Every field of both estimates that is a tensor, rows first."""
    arguments = dict(num_samples=11, seed=3, first_item=first_item, chunk_rows=chunk_rows, y=y)
    found = {}
    for estimate in (
        estimate_elbo(vae, x, **arguments),
        estimate_log_px(vae, x, **arguments),
        estimate_log_px(vae, x, estimator="prior", **arguments),
    ):
        for name, value in vars(estimate).items():
            if isinstance(value, torch.Tensor):
                found[f"{len(found)} {name}"] = value
    return found


def assert_bitwise(part, whole, rows=slice(None)):
    assert part.keys() == whole.keys()
    for name, value in part.items():
        torch.testing.assert_close(
            value, whole[name][rows], rtol=0, atol=0, equal_nan=True, msg=lambda m, n=name: n + m
        )


@pytest.mark.parametrize(
    ("name", "given"), [(name, False) for name in SCORED] + [(name, True) for name in LABELLED]
)
def test_a_score_is_bitwise_the_same_alone_and_whatever_the_chunks(name, given):
    vae = make(name).freeze()
    x = pictures(vae, 23)
    y = labels(vae, 23) if given else None
    whole = scores(vae, x, y)
    diagnosed = ("pareto", "interval")  # of 100 samples or more
    finite = [v for n, v in whole.items() if not any(word in n for word in diagnosed)]
    assert all(bool(v.isfinite().all()) for v in finite)
    for chunk_rows in (1, 100, 10**6):
        assert_bitwise(scores(vae, x, y, chunk_rows=chunk_rows), whole)
    for rows in (slice(0, 1), slice(7, 12), slice(22, 23)):
        some = None if y is None else y[rows]
        assert_bitwise(scores(vae, x[rows], some, first_item=rows.start), whole, rows)


@pytest.mark.parametrize("name", [*LABELLED, "categorical"])
def test_a_guess_is_bitwise_the_same_alone_and_whatever_the_chunks(name):
    vae = make(name).freeze()
    x = pictures(vae, 23)

    def classify(rows, chunk_rows=512):
        return run_steps(
            classify_steps(
                vae,
                x[rows],
                num_samples=5,
                seed=1,
                first_item=rows.start,
                chunk_rows=chunk_rows,
            )
        )

    whole = classify(slice(0, 23))
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(23))
    for chunk_rows in (1, 100, 10**6):
        assert torch.equal(classify(slice(0, 23), chunk_rows), whole)
    for rows in (slice(0, 1), slice(7, 12), slice(22, 23)):
        assert torch.equal(classify(rows), whole[rows])


@pytest.mark.parametrize("name", SCORED)
def test_no_pictures_at_all_have_no_scores(name):
    vae = make(name).freeze()
    none = pictures(vae, 0)
    for what, value in scores(vae, none).items():
        assert len(value) == 0, what


@pytest.mark.parametrize("name", FAMILIES)
def test_a_bundle_of_every_family_says_what_its_model_said(name, tmp_path):
    vae = make(name)
    path = tmp_path / name / "1"
    config = config_of(vae.config, name=name, image=spec_of(vae))
    save(path, vae, config=config, parity_inputs=pictures(vae, 8))
    loaded = load_bundle(path).vae
    x = pictures(vae, 8, seed=5)
    with torch.no_grad():
        ours, theirs = parity_tensors(vae, x), parity_tensors(loaded, x)
    assert ours.keys() == theirs.keys()
    for what, value in ours.items():
        assert torch.equal(value, theirs[what]), what
    vae.freeze()
    if vae.has_density:
        assert_bitwise(scores(loaded, x), scores(vae, x))
    if vae.has_density and not vae.num_labels:
        noise = BatchNoise(0, 4, "prior").draw_for(vae.prior(), 2)
        assert torch.equal(loaded.prior().from_noise(noise), vae.prior().from_noise(noise))


@pytest.mark.parametrize("name", SCORED)
def test_a_gradient_of_the_bound_reaches_every_parameter(name):
    vae = make(name).train()
    x, y = pictures(vae, 32), labels(vae, 32)
    noise = BatchNoise(0, 32, "training").draw_for(vae.posterior(x, y), 2)
    loss = vae.log_weights(x, noise, y).mean()
    if vae.config.classifier is not None:
        loss = loss + vae.label_logits(x).square().mean()
    loss.backward()
    for what, parameter in vae.named_parameters():
        assert bool(parameter.grad.isfinite().all()), what
        assert bool((parameter.grad != 0).any()), what


@pytest.mark.parametrize("likelihood", ["normal", "discretized_logistic", "continuous_bernoulli"])
@pytest.mark.parametrize("name", SCORED)
def test_every_family_takes_every_likelihood(name, likelihood):
    vae = make(name, likelihood={"kind": likelihood})
    x = pictures(vae, 3)
    e = estimate_elbo(vae, x, num_samples=2, seed=0)
    assert bool(e.elbo_nats.isfinite().all())


def test_an_autoencoder_has_no_scores():
    vae = make("autoencoder")
    x = pictures(vae, 2)
    for estimate in (estimate_elbo, estimate_log_px):
        with pytest.raises(UnsupportedOperation, match="autoencoder"):
            estimate(vae, x, num_samples=2, seed=0)
