"""Flag over environment over file; what is wrong is refused by name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import PRETRAINED, Settings, load_settings, misspelt_variables
from models.errors import ConfigError


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


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings()
    for name in ("VAE_SETTINGS_FILE", *(f"VAE_{field.upper()}" for field in Settings.model_fields)):
        for blank in ("", " ", "\t\r\n"):
            monkeypatch.setenv(name, blank)
            assert load_settings() == before, name


def test_an_empty_variable_leaves_what_the_file_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('port = 1\ncors_origins = "*"\n')
    monkeypatch.setenv("VAE_SETTINGS_FILE", str(file))
    monkeypatch.setenv("VAE_PORT", "")
    assert (load_settings().port, load_settings().cors_origins) == (1, ("*",))


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        ("http://a", ("http://a",)),
        ("http://a,http://b", ("http://a", "http://b")),
        (" http://a/ , http://b, ", ("http://a", "http://b")),
        ('["http://a", "http://b"]', ("http://a", "http://b")),
        ('"*"', ("*",)),
        ("[]", ()),
        (",", ()),
    ],
)
def test_a_list_is_written_by_commas_or_in_json(
    monkeypatch: pytest.MonkeyPatch, text: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("VAE_CORS_ORIGINS", text)
    assert load_settings().cors_origins == origins


def test_keys_are_listed_by_commas_in_either_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_API_KEYS_SHA256", f"{'a1' * 32},{'B2' * 32}")
    assert load_settings().api_keys_sha256 == ("a1" * 32, "b2" * 32)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("VAE_LOG_LEVEL", "INFO", "log_level", "info"),
        ("VAE_LOG_LEVEL", "Warning", "log_level", "warning"),
        ("VAE_DOCS", "FALSE", "docs", False),
        ("VAE_PORT", "9000\r", "port", 9000),
        ("VAE_MAX_ITEMS", "1_000", "max_items", 1000),
        ("VAE_DEFAULT_MODEL", "mnist ", "default_model", "mnist"),
        ("VAE_ROOT_PATH", "/ml/vae/", "root_path", "/ml/vae"),
    ],
)
def test_what_is_unambiguous_is_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, field: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(load_settings(), field) == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_settings_file_may_begin_with_a_byte_order_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("port = 7\n", encoding=encoding)
    monkeypatch.setenv("VAE_SETTINGS_FILE", str(file))
    assert load_settings().port == 7


@pytest.mark.parametrize("content", [b"port =", "port = 7".encode("utf-16"), b"host = '\xe9'"])
def test_a_file_that_is_no_toml_in_utf8_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    monkeypatch.setenv("VAE_SETTINGS_FILE", str(file))
    with pytest.raises(
        ConfigError, match=r"settings.toml \(VAE_SETTINGS_FILE\) is not TOML in UTF-8"
    ):
        load_settings()


def test_a_misspelt_variable_is_found_and_links_of_kubernetes_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        *("VAE_SERVICE_HOST", "VAE_SERVICE_PORT", "VAE_SERVICE_PORT_HTTP", "VAE_PORT_80_TCP"),
        *("VAE_PORT_80_TCP_ADDR", "VAE_PORT_80_TCP_PROTO", "VAE_DATA_DIR", "VAE_URL", "VAE_OTHER"),
    ):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    monkeypatch.setenv("VAE_MAX_ITMES", "5")
    assert misspelt_variables() == {"VAE_MAX_ITMES": "VAE_MAX_ITEMS"}
    assert load_settings().port == 8000


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
        ("VAE_ROOT_PATH", "vae"),
        ("VAE_MAX_ITEMS", "1e6"),
        ("VAE_MAX_BODY_BYTES", "10MB"),
        ("VAE_MAX_NUM_SAMPLES", "-1"),
        ("VAE_REQUEST_TIMEOUT_SECONDS", "inf"),
        ("VAE_REQUEST_TIMEOUT_SECONDS", "1e300"),
        ("VAE_MAX_WAIT_SECONDS", "nan"),
        ("VAE_DRAIN_SECONDS", "1e300"),
        ("VAE_COMPUTE_THREADS", "99999999999"),
        ("VAE_PORT", "tcp://10.0.0.1:80"),
        ("VAE_CORS_ORIGINS", "[http://a"),
        ("VAE_CORS_ORIGINS", "[1]"),
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
