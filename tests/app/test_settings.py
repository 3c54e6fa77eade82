"""Flag over environment over file; what is wrong is refused by name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import PRETRAINED, Settings, load_settings


def test_the_defaults_are_those_of_the_project() -> None:
    settings = load_settings()
    assert settings.model_repository == PRETRAINED
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.request_timeout_seconds == 120
    assert settings.api_keys_sha256 == ()


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        'port = 1\nhost = "file"\ndefault_model = "file"\ncors_origins = ["http://a"]\n'
    )
    monkeypatch.setenv("VAE_SETTINGS_FILE", str(file))
    monkeypatch.setenv("VAE_PORT", "2")
    monkeypatch.setenv("VAE_HOST", "environment")
    settings = load_settings(port=3, device=None)
    assert (settings.port, settings.host, settings.default_model) == (3, "environment", "file")
    assert settings.cors_origins == ("http://a",)


def test_a_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_SETTINGS_FILE", "/nowhere.toml")
    with pytest.raises(FileNotFoundError, match="VAE_SETTINGS_FILE"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VAE_PORT", "70000"),
        ("VAE_MAX_BODY_BYTES", "0"),
        ("VAE_API_KEYS_SHA256", '["secret"]'),
        ("VAE_LOG_LEVEL", "loud"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("VAE_").lower()):
        load_settings()


def test_a_misspelt_setting_in_the_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("prot = 1\n")
    monkeypatch.setenv("VAE_SETTINGS_FILE", str(file))
    with pytest.raises(ValidationError, match="prot"):
        load_settings()


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in Settings.model_fields.values())
