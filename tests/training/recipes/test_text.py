"""Text files with and without a byte order mark."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from training.recipes.text import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_read_with_its_mark_and_without(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('name = "é"'.encode(encoding))
    assert read_text(path) == 'name = "é"'


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-16", "in UTF-16"),
        ("utf-16-le", "in UTF-16"),
        ("utf-16-be", "in UTF-16"),
        ("utf-32", "in UTF-32"),
        ("latin-1", r"not UTF-8 \(byte 8 is 0xe9\)"),
    ],
)
def test_every_other_encoding_is_named(encoding: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('name = "é"'.encode(encoding))
    with pytest.raises(ConfigError, match=rf"a\.toml is {found}; .* Save it as UTF-8"):
        read_text(path)


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch()
    assert read_text(tmp_path / "a.toml") == ""
