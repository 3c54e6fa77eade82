"""A bundle with a file that is missing, damaged, a link or not listed is refused by name."""

import hashlib
import os

import pytest

from models.errors import BundleNotFound
from tests.models.bundle_cases import (
    edit_json,
    refused,
    remake_manifest,
)


def test_a_missing_folder_is_not_found(tmp_path):
    refused(tmp_path / "tiny" / "1", str(tmp_path / "tiny" / "1"), error=BundleNotFound)


def test_a_file_instead_of_a_folder_is_not_found(tmp_path):
    (tmp_path / "1").write_bytes(b"")
    refused(tmp_path / "1", error=BundleNotFound)


FILES = [
    "config.json",
    "model.safetensors",
    "parity.safetensors",
    "evaluation.json",
    "README.md",
    "samples.png",
]


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(bundle, name):
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[:-1])
    refused(bundle, name, "size")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    refused(bundle, name, "sha256")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(bundle, name):
    (bundle / name).unlink()
    refused(bundle, name, "lacks")


@pytest.mark.parametrize("name", FILES[:5])
def test_a_required_file_must_be_there_and_listed(bundle, name):
    edit_json(bundle, "manifest.json", lambda m: m["files"].pop(name), remake=False)
    refused(bundle, name, "does not list")
    (bundle / name).unlink()
    refused(bundle, name, "lacks")


def test_a_file_that_is_not_listed_is_refused(bundle):
    (bundle / "extra.py").write_text("print('no')")
    refused(bundle, "extra.py")


def test_a_bundle_without_manifest_is_refused(bundle):
    (bundle / "manifest.json").unlink()
    refused(bundle, "manifest.json")


@pytest.mark.parametrize("field", ["sha256", "size_bytes"])
def test_a_wrong_manifest_is_refused(bundle, field):
    wrong = {"sha256": "0" * 64, "size_bytes": 8}[field]
    edit_json(
        bundle,
        "manifest.json",
        lambda m: m["files"]["README.md"].update({field: wrong}),
        remake=False,
    )
    refused(bundle, "README.md", field.removesuffix("_bytes"))


@pytest.mark.parametrize("name", ["../x", "/abs", "a/b", "..", ".hidden", "a\\b", "", "x" * 129])
def test_a_name_that_is_a_path_is_refused_before_anything_is_read(bundle, name):
    outside = bundle.parent / "x"
    outside.write_bytes(b"secret")
    entry = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size_bytes": 6}
    edit_json(bundle, "manifest.json", lambda m: m["files"].update({name: entry}), remake=False)
    refused(bundle, "manifest.json", "String should")


@pytest.mark.parametrize("name", [*FILES, "manifest.json", "extra.bin"])
def test_a_symbolic_link_is_refused_even_to_the_right_bytes(bundle, name):
    elsewhere = bundle.parent / "elsewhere"
    if (bundle / name).exists():
        (bundle / name).rename(elsewhere)
    else:
        elsewhere.write_bytes(b"")
    (bundle / name).symlink_to(elsewhere)
    refused(bundle, name, "link")


def test_a_folder_in_a_bundle_is_refused(bundle):
    (bundle / "more").mkdir()
    refused(bundle, "more", "folder")


def test_a_pipe_in_a_bundle_is_refused_without_waiting_for_it(bundle):
    os.mkfifo(bundle / "pipe.png")
    refused(bundle, "pipe.png")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
@pytest.mark.parametrize("name", ["manifest.json", "config.json", "evaluation.json"])
def test_a_file_that_is_not_its_json_is_refused(bundle, name, raw):
    (bundle / name).write_bytes(raw)
    if name != "manifest.json":
        remake_manifest(bundle)
    refused(bundle, name)
