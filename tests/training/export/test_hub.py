"""Bundles go to a Hub and come back: unmodified huggingface_hub against a server of the test's."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle.reading import read_description
from models.errors import BundleCorrupt, ConfigError
from tests.models.bundle_cases import EVALUATION, TINY, config_of, save, tiny_vae
from tests.models.family_cases import family
from tests.training.export.hub_server import Hub, serve_hub
from tests.training.vae_lab import exit_code
from training.errors import HubError
from training.evaluation.table import describe_estimator
from training.export.hub import pull, push
from training.export.hub_card import make_hub_card

huggingface_hub = pytest.importorskip("huggingface_hub", reason="pip install -e '.[hub]'")

PRETRAINED = Path(__file__).resolve().parents[3] / "models" / "pretrained"
REPO = "me/tiny-vae"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, to which no token of the developer's goes."""
    monkeypatch.setenv("HF_TOKEN", "of-the-test")
    with serve_hub() as hub:
        yield hub


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "here" / "tiny" / "1"
    save(path, tiny_vae(), card="# Tiny\n\n![samples](samples.png)\n")
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_goes_to_the_hub_and_comes_back_byte_for_byte(
    hub: Hub, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = ["--endpoint", hub.url]
    assert exit_code("push", str(bundle), REPO, "--private", *endpoint) == 0
    assert f"The bundle is {hub.url}/{REPO}/tree/main/tiny/1." in capsys.readouterr().out
    assert hub.repos[REPO].private
    assert hub.tokens == {"Bearer of-the-test"}
    there = tmp_path / "there"
    assert exit_code("pull", REPO, "--repository", str(there), *endpoint) == 0
    assert f"The bundle is {there}/tiny/1." in capsys.readouterr().out
    assert content_of(there / "tiny" / "1") == content_of(bundle)
    assert [path.name for path in there.iterdir()] == ["tiny"]
    assert [path.name for path in (there / "tiny").iterdir()] == ["1"]


def test_the_card_has_the_metadata_that_the_hub_reads(hub: Hub, bundle: Path) -> None:
    push(bundle, REPO, endpoint=hub.url)
    info = huggingface_hub.HfApi(endpoint=hub.url).model_info(REPO)
    assert info.card_data.library_name == "vae-serve"
    assert info.card_data.license == "mit"
    assert info.card_data.pipeline_tag == "unconditional-image-generation"
    assert "variational-autoencoder" in info.card_data.tags
    assert "bits_per_dim" in info.card_data.metrics
    bits, nats = info.card_data.eval_results
    assert (bits.metric_type, bits.metric_value, bits.dataset_name) == (
        "bits_per_dim",
        0.75,
        "squares",
    )
    assert (nats.metric_type, nats.metric_value) == ("nats_per_image", -3.5)
    card = huggingface_hub.ModelCard(hub.repos[REPO].at("main")["README.md"].decode())
    assert "![samples](tiny/1/samples.png)" in card.text
    assert f"vae-lab pull {REPO}" in card.text


def test_the_cards_of_known_data_sets_name_them_as_the_hub_does() -> None:
    path = PRETRAINED / "mnist-labelled" / "1"
    bundle, own = read_description(path), (path / "README.md").read_text(encoding="utf-8")
    card = huggingface_hub.ModelCard(make_hub_card(REPO, bundle.config, bundle.evaluation, own))
    assert card.data.datasets == ["ylecun/mnist"]
    assert {result.dataset_type for result in card.data.eval_results} == {"ylecun/mnist"}
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    elbo = next(e for e in bundle.evaluation.estimates if e.estimator == "elbo")
    name = f"nats per image, {describe_estimator(elbo)}"
    assert values[name] == pytest.approx(elbo.mean_nats, abs=1e-3)


def test_an_autoencoder_has_a_card_without_a_likelihood() -> None:
    config = config_of(family("autoencoder"))
    evaluation = EVALUATION.model_copy(update={"estimates": ()})
    card = huggingface_hub.ModelCard(make_hub_card(REPO, config, evaluation, "# Tiny\n"))
    assert card.data.tags == ["autoencoder"]
    assert card.data.pipeline_tag is None
    assert card.data.eval_results is None


def test_versions_lie_beside_each_other_and_branches_apart(
    hub: Hub, bundle: Path, tmp_path: Path
) -> None:
    second = tmp_path / "here" / "tiny" / "2"
    save(second, tiny_vae(), config=config_of(TINY, version=2), card="# Tiny, better\n")
    push(second, REPO, endpoint=hub.url)
    push(bundle, REPO, endpoint=hub.url)  # older: the card stays
    assert b"# Tiny, better" in hub.repos[REPO].at("main")["README.md"]
    push(bundle, REPO, revision="old", endpoint=hub.url)
    assert push(bundle, REPO, endpoint=hub.url).endswith("/tree/main/tiny/1")  # there already
    there = tmp_path / "there"
    assert pull(REPO, repository=there, endpoint=hub.url) == there / "tiny" / "2"
    assert pull(REPO, repository=there, version=1, endpoint=hub.url) == there / "tiny" / "1"
    with pytest.raises(ConfigError, match=r"has no version 3 of tiny. Available: 1, 2\."):
        pull(REPO, repository=there, version=3, endpoint=hub.url)
    commit = hub.repos[REPO].branches["old"]
    there = tmp_path / "branch"
    branch = pull(REPO, repository=there, version=1, revision=commit, endpoint=hub.url)
    assert content_of(branch) == content_of(bundle)


def test_a_released_version_is_never_overwritten(hub: Hub, bundle: Path, tmp_path: Path) -> None:
    push(bundle, REPO, endpoint=hub.url)
    other = tmp_path / "other" / "tiny" / "1"
    save(other, tiny_vae(), card="# Another\n")
    with pytest.raises(ConfigError, match="has another bundle as tiny/1"):
        push(other, REPO, endpoint=hub.url)
    with pytest.raises(ConfigError, match="exists, and a bundle is never overwritten"):
        pull(REPO, repository=tmp_path / "here", endpoint=hub.url)


def test_a_repository_holds_one_model_and_keeps_its_visibility(
    hub: Hub, bundle: Path, tmp_path: Path
) -> None:
    push(bundle, REPO, endpoint=hub.url)
    other = tmp_path / "here" / "other" / "1"
    save(other, tiny_vae(), config=config_of(TINY, name="other"))
    with pytest.raises(ConfigError, match="holds the model tiny; the bundle is of other"):
        push(other, REPO, endpoint=hub.url)
    with pytest.raises(ConfigError, match="is public, and --private is for a new repository"):
        push(bundle, REPO, private=True, endpoint=hub.url)
    hub.repos[REPO].commit("main", {"other/1/manifest.json": b"{}"})
    with pytest.raises(ConfigError, match="holds the models other, tiny"):
        pull(REPO, repository=tmp_path / "there", endpoint=hub.url)


@pytest.mark.parametrize("name", ["model.safetensors", "manifest.json"])
def test_a_bundle_that_was_damaged_is_refused_and_nothing_is_written(
    hub: Hub, bundle: Path, tmp_path: Path, name: str
) -> None:
    push(bundle, REPO, endpoint=hub.url)
    damaged = hub.repos[REPO].at("main")[f"tiny/1/{name}"][:-1] + b"!"
    hub.repos[REPO].commit("main", {f"tiny/1/{name}": damaged})
    there = tmp_path / "there"
    with pytest.raises(BundleCorrupt, match=f"^{REPO}/tiny/1/{name} "):
        pull(REPO, repository=there, endpoint=hub.url)
    assert not there.exists()


def test_what_the_hub_lacks_and_a_hub_that_is_away_are_said(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=rf"^{REPO} at {hub.url}: 404 Client Error.* Check the name"):
        pull(REPO, repository=tmp_path, endpoint=hub.url)
    with pytest.raises(HubError, match=r"at http://127\.0\.0\.1:9: "):
        pull(REPO, repository=tmp_path, endpoint="http://127.0.0.1:9")
    huggingface_hub.HfApi(endpoint=hub.url).create_repo(REPO)
    with pytest.raises(ConfigError, match=f"{REPO} holds no bundle"):
        pull(REPO, repository=tmp_path, endpoint=hub.url)


def test_a_library_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="need the extra hub; huggingface_hub is not installed"):
        pull(REPO, repository=tmp_path)
