"""From a run to a bundle that loads, serves the same numbers, and says what it is."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.bundle.loading import load_bundle
from models.distributions.batch_noise import BatchNoise
from models.errors import ConfigError
from models.estimators.elbo import estimate_elbo
from models.vae.model import VAE
from models.vae_config import VAEConfig
from tests.training.conftest import RECIPE
from training.data.datasets import load
from training.evaluation import trained
from training.evaluation.effort import AskedEffort
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.pictures import draw_samples, reconstruct_some
from training.evaluation.trained import load_trained_model
from training.export import export
from training.export.export import export_run
from training.runs.folder import STATE

pytestmark = pytest.mark.slow

QUICK = EvaluationSettings(
    seed=2,
    elbo_num_samples=2,
    iwae_num_samples=3,
    subset_num_images=5,
    subset_num_samples=(4, 8),
)


@pytest.fixture
def bundle_path(run_dir: Path, tmp_path: Path) -> Path:
    return export_run(run_dir, repository=tmp_path / "models", settings=QUICK)


def test_bundle_loads_and_says_where_it_comes_from(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    assert (bundle.name, bundle.version) == ("tiny", 1)
    assert bundle.config.vae == RECIPE.vae
    assert bundle.config.image == RECIPE.image
    assert bundle.config.labels == tuple("0123456789")
    assert bundle.config.provenance.dataset == "digits"


def test_a_test_split_of_less_than_eight_images_can_be_exported(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dataclasses.replace(load("digits"), test=load("digits").test.take(np.arange(3)))
    monkeypatch.setattr(trained, "load", lambda name, **_: few)
    changed = {**json.loads((run_dir / STATE).read_text()), "dataset_sha256": few.sha256}
    (run_dir / STATE).write_text(json.dumps(changed))
    settings = QUICK.model_copy(update={"subset_num_images": 0})
    path = export_run(run_dir, repository=tmp_path / "models", settings=settings)
    assert load_bundle(path).evaluation.num_images == 3


def test_next_version_is_one_more(bundle_path: Path, run_dir: Path) -> None:
    again = export_run(run_dir, repository=bundle_path.parent.parent, settings=QUICK)
    assert again == bundle_path.with_name("2")


def test_name_and_version_can_be_chosen(run_dir: Path, tmp_path: Path) -> None:
    path = export_run(
        run_dir, repository=tmp_path / "models", name="other", version=7, settings=QUICK
    )
    assert path == tmp_path / "models/other/7"
    assert load_bundle(path).name == "other"


def test_released_version_is_never_overwritten(bundle_path: Path, run_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"exists.*--version next"):
        export_run(run_dir, repository=bundle_path.parent.parent, version=1, settings=QUICK)


def test_a_repository_that_cannot_be_written_is_refused_before_the_evaluation(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "load_trained_model", None)
    (tmp_path / "file").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny").touch()
    for repository, words in (
        (tmp_path / "file", "file is a file, not a folder. Use another one: --repository "),
        (tmp_path / "models", "tiny is a file, not a folder."),
        (Path("/proc/models"), "/proc cannot be written ("),
    ):
        with pytest.raises(ConfigError) as raised:
            export_run(run_dir, repository=repository, settings=QUICK)
        assert words in str(raised.value)


def test_a_name_that_no_model_may_have_is_refused_with_one_like_it(
    run_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"'My Model' is not allowed\. .* Take --name my-model\."):
        export_run(run_dir, repository=tmp_path / "models", name="My Model", settings=QUICK)


def test_bundle_evaluates_to_what_it_says(bundle_path: Path) -> None:
    stored = load_bundle(bundle_path).evaluation
    assert load_trained_model(bundle_path).evaluate(settings=QUICK) == stored


def test_first_test_images_score_in_the_bundle_as_in_the_evaluation(
    bundle_path: Path, run_dir: Path
) -> None:
    bundle = load_bundle(bundle_path)
    x = load_trained_model(run_dir).x
    alone = estimate_elbo(bundle.vae, x[:3], num_samples=2, seed=2).elbo_nats
    stored = torch.tensor(bundle.evaluation.references[0].values_nats, dtype=torch.float64)
    assert all(bool(torch.isclose(stored, value, rtol=1e-9).any()) for value in alone)


def test_evaluation_at_hand_is_not_repeated(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = load_trained_model(run_dir).evaluate(settings=QUICK)
    monkeypatch.setattr("training.evaluation.trained.evaluate", None)
    path = export_run(run_dir, repository=tmp_path / "models", settings=QUICK)
    assert load_bundle(path).evaluation == evaluation


def test_pictures_are_grids_of_enlarged_images(bundle_path: Path) -> None:
    for name in ("samples.png", "reconstructions.png"):
        with Image.open(io.BytesIO((bundle_path / name).read_bytes())) as picture:
            assert picture.size == (8 * 66 + 2, 8 * 66 + 2)
            assert picture.mode == "L"


def test_samples_are_those_of_the_prior_noise_of_the_seed(run_dir: Path) -> None:
    vae = load_trained_model(run_dir).vae
    noise = BatchNoise(0, 4, "prior").draw(1, (2,))[0]
    with torch.no_grad():
        expected = vae.likelihood(vae.prior().from_noise(noise)).mean
    assert torch.equal(draw_samples(vae, 4), expected)
    assert not torch.equal(draw_samples(vae, 4, seed=1), expected)


def test_reconstructions_follow_their_originals_row_by_row(run_dir: Path) -> None:
    model = load_trained_model(run_dir)
    x = model.x
    rows = reconstruct_some(model.vae, x)
    assert rows.shape == (64, 1, 8, 8)
    known = {image.numpy().tobytes() for image in x}
    is_original = [image.numpy().tobytes() in known for image in rows]
    assert is_original == ([True] * 8 + [False] * 8) * 4


FAMILIES: dict[str, dict[str, Any]] = {
    "labels": {"num_labels": 3},
    "labels and their prior": {"num_labels": 3, "prior": {"kind": "label_normal"}},
    "mixture": {"prior": {"kind": "mixture", "num_components": 4}},
    "vamp": {"prior": {"kind": "vamp", "num_components": 4}},
    "full": {"posterior": {"kind": "full_normal"}},
    "categorical": {
        "prior": {"kind": "categorical"},
        "posterior": {"kind": "enumerated"},
        "encoder": None,
    },
    "hierarchy": {
        "latent_shape": (5,),
        "latent_groups": ((3,), (2,)),
        "prior": {"kind": "top_down"},
        "posterior": {"kind": "bottom_up"},
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_models_is_scored_and_pictured(family: str) -> None:
    config = VAEConfig.model_validate({**RECIPE.vae.model_dump(), **FAMILIES[family]})
    vae = VAE(config).freeze()
    x = torch.from_numpy(load("digits").test.observations(RECIPE.image))[:40]
    evaluation = evaluate(vae, x, dataset="digits", settings=QUICK)
    assert 0 <= evaluation.active_units <= vae.num_latents
    assert draw_samples(vae, 8).shape == (8, 1, 8, 8)
    assert reconstruct_some(vae, x).shape == (64, 1, 8, 8)


def test_a_model_with_labels_draws_them_in_turn() -> None:
    vae = VAE(RECIPE.vae.model_copy(update={"num_labels": 3})).freeze()
    noise = BatchNoise(0, 4, "prior").draw(1, (2,))[0]
    expected = vae.likelihood(noise, torch.tensor([0, 1, 2, 0])).mean
    assert torch.equal(draw_samples(vae, 4), expected)


def test_card_has_the_numbers_the_recipe_and_the_licence(bundle_path: Path) -> None:
    card = (bundle_path / "README.md").read_text()
    evaluation = load_bundle(bundle_path).evaluation
    for estimate in evaluation.estimates:
        assert f"| {estimate.mean_nats:.2f} | {estimate.standard_error_nats:.2f} |" in card
    assert "IWAE, K = 8 | 5 |" in card
    assert "CC BY 4.0" in card
    assert "[vae.encoder]" in card
    assert "/v1/models/tiny\n" in card
    assert f"| {evaluation.baselines[0].bits_per_dim:.4f} |" in card
    assert "discretised mixture of 1 logistics over 17 levels" in card
    assert f"from q(z|x) to the prior, is {evaluation.rate_nats:.2f} nats;" in card


def test_model_over_the_size_limit_is_refused_before_anything_is_written(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MAX_BUNDLE_BYTES", 1000)
    with pytest.raises(ConfigError, match=r"limit is .* MiB\. Train a model with smaller"):
        export_run(run_dir, repository=tmp_path / "models", settings=QUICK)
    assert not (tmp_path / "models").exists()


def test_enlarging_repeats_whole_pixels() -> None:
    from training.data.summary import enlarge

    images = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2)
    large = enlarge(images)
    assert large.shape == (1, 1, 64, 64)
    assert np.array_equal(large[:, :, ::32, ::32], images)
    assert enlarge(np.zeros((1, 3, 100, 20), dtype=np.uint8)).shape == (1, 3, 100, 20)


def test_of_two_exports_of_one_version_the_second_is_refused(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card = export.write_card

    def meanwhile(*arguments: Any) -> str:
        monkeypatch.setattr(export, "write_card", write_card)
        export_run(run_dir, repository=tmp_path / "models", settings=QUICK)
        return write_card(*arguments)

    monkeypatch.setattr(export, "write_card", meanwhile)
    with pytest.raises(ConfigError, match=r"models/tiny/1 exists.*--version next"):
        export_run(run_dir, repository=tmp_path / "models", settings=QUICK)
    assert [path.name for path in (tmp_path / "models" / "tiny").iterdir()] == ["1"]
    assert load_bundle(tmp_path / "models/tiny/1").version == 1


def test_scores_of_a_run_that_is_read_only_are_exported_with_a_warning(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_dir / ".evaluation.json.partial").mkdir()
    path = export_run(run_dir, repository=tmp_path / "models", settings=QUICK)
    assert load_bundle(path).version == 1
    assert "the scores are not kept in" in " ".join(capsys.readouterr().err.split())


def test_an_export_takes_the_evaluation_that_the_run_has_unless_asked_for_another(
    run_dir: Path, tmp_path: Path
) -> None:
    evaluation = load_trained_model(run_dir).evaluate(settings=QUICK)
    first = export_run(run_dir, repository=tmp_path / "models")
    assert load_bundle(first).evaluation == evaluation
    asked = AskedEffort(seed=3, elbo_num_samples=2, iwae_num_samples=2, subset_num_images=0)
    other = load_bundle(
        export_run(run_dir, repository=tmp_path / "models", settings=asked)
    ).evaluation
    assert [(one.seed, one.num_samples) for one in other.estimates] == [(3, 2), (3, 2)]
