"""What is looked at: runs and bundles with their test images, and what is refused of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.errors import BundleError, ConfigError, InputError, UnsupportedOperation
from tests.conftest import ROOT
from tests.training.subject_cases import of_family
from training.data.subset import choose_subset
from training.studies.subjects import (
    check_comparable,
    load_subject,
    need_density,
    need_dimensions,
    need_run,
)


def test_a_run_comes_with_its_recipe_and_the_whole_test_split_in_order(run_dir: Path) -> None:
    subject = load_subject(run_dir)
    assert (subject.name, len(subject.x)) == ("tiny", 300)
    assert need_run(subject).seed == 5
    assert subject.labels is not None
    assert subject.words() == "tiny: digits, test split, n = 300"
    expected = torch.from_numpy(subject.dataset.test.observations(subject.spec))
    assert torch.equal(subject.x, expected)


def test_a_bundle_has_a_version_and_no_recipe() -> None:
    subject = load_subject(ROOT / "models/pretrained/digits/1", num_images=7)
    assert (subject.name, len(subject.x)) == ("digits/1", 7)
    with pytest.raises(ConfigError, match=r"received the bundle digits/1\. Name the run's folder"):
        need_run(subject)


def test_a_subset_is_random_with_its_own_labels_and_the_same_every_time(run_dir: Path) -> None:
    some, everything = load_subject(run_dir, num_images=20), load_subject(run_dir)
    chosen = choose_subset(300, 20, seed=0)
    assert torch.equal(some.x, everything.x[chosen])
    assert some.labels is not None
    assert everything.labels is not None
    assert torch.equal(some.labels, everything.labels[chosen])


def test_what_is_no_model_or_has_too_few_images_is_refused(run_dir: Path) -> None:
    with pytest.raises(BundleError, match="there is none at"):
        load_subject(run_dir / "nothing")
    with pytest.raises(InputError, match=r"received 1\. Take more"):
        load_subject(run_dir, num_images=1)


def test_an_autoencoder_has_no_bounds_and_a_mixture_no_dimensions() -> None:
    need_density(of_family("standard"))
    need_dimensions(of_family("autoencoder"))
    with pytest.raises(UnsupportedOperation, match="autoencoder is an autoencoder and has none"):
        need_density(of_family("autoencoder"))
    with pytest.raises(UnsupportedOperation, match="categorical is a mixture"):
        need_dimensions(of_family("categorical"))


def test_other_images_or_another_scale_do_not_compare() -> None:
    first, other = of_family("standard"), of_family("vamp")
    check_comparable(first, other)
    with pytest.raises(ConfigError, match=r"received standard \(masses of .*Plot them apart"):
        check_comparable(first, replace(other, x=1 - other.x))
    with pytest.raises(ConfigError, match="n = 5"):
        check_comparable(first, replace(other, x=other.x[:5], labels=None))
