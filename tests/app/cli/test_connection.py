"""URLs, proxies and keys: a command's way to a service."""

import pytest

from app.cli import connection
from app.settings import PRETRAINED
from tests.app.cli.command_cases import Vae, done, failure

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://x:no", "http://x"),
        ("http://x:99999", "http://x"),
        ("http://x:-1", "http://x"),
        ("http://x:\u0669", "http://x"),
        ("x:80", "http://x:80"),
        ("//x:80", "http://x:80"),
        ("http:/x:80", "http://x:80"),
        ("HTTPS//x:80", "https://x:80"),
        ("ws://x:80", "http://x:80"),
        ("http://[::1]:80/v1/", "http://[::1]:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("http://[::1", "http://[::1]"),
        ("http://x?y=1", "http://x"),
        ("http://x y:80", "http://xy:80"),
        (" http://x:80", "http://x:80"),
        ("http://x\n:80", "http://x:80"),
        ("http:///", "http://localhost"),
    ],
)
def test_a_url_of_another_form_gets_the_one_that_is_meant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, meant: str
) -> None:
    code, message = failure(capsys, monkeypatch, "models", "--url", url)
    assert code == 1
    assert f"Use --url {meant}." in message
    assert message.count("--url takes http://HOST:PORT") == 1


@pytest.mark.parametrize("url", ["http://me:hush@x:80", "me:hush@x:80", "https://hush@x:80/v1"])
def test_a_password_in_a_url_is_refused_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    code, message = failure(capsys, monkeypatch, "models", "--url", url)
    assert code == 1
    assert "--url takes no user name and no password." in message
    assert "x:80, with --api-key KEY if it asks for one." in message
    assert "hush" not in message


@pytest.mark.parametrize("url", ["http://[::1]:9", "HTTP://127.0.0.1:9", "http://127.0.0.1:9/"])
def test_a_url_may_have_an_ipv6_address_capitals_and_a_slash_at_its_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    assert "Cannot reach http://" in failure(capsys, monkeypatch, "models", "--url", url)[1]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "(ALL_PROXY) cannot be used: Using SOCKS proxy, but"),
        ("all_proxy", "socks5://127.0.0.1:1", "Do without it: env -u all_proxy vae ..."),
        ("NO_PROXY", "[::1]", "(NO_PROXY) cannot be used: Invalid port: ':1]'. Do without it: env"),
        ("HTTP_PROXY", "foo://x", "(HTTP_PROXY) cannot be used: Unknown scheme for proxy URL"),
        ("http_proxy", "http://me:hush@x:no", "(http_proxy) cannot be used: Invalid port: 'no'."),
        (
            "HTTP_PROXY",
            "http://me:hush@127.0.0.1:1",
            "HTTP_PROXY is set: where the service is not behind it, set NO_PROXY=127.0.0.1.",
        ),
        ("ALL_PROXY", "http://127.0.0.1:1", "ALL_PROXY is set: where the service is not behind it"),
        (
            "SSL_CERT_FILE",
            "/nowhere",
            "SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: No such",
        ),
        ("VAE_API_KEY", "\u043a\u043b\u044e\u0447", "holds characters that no header can carry."),
    ],
)
def test_an_environment_without_a_way_to_the_service_is_one_message(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    words: str,
) -> None:
    for name in connection.PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    code, message = failure(capsys, monkeypatch, "models", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert words in message
    assert "hush" not in message


def test_a_host_name_that_cannot_be_encoded_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://xn--a.\u00e4.b:9"
    code, message = failure(capsys, monkeypatch, "models", "--url", url)
    assert code == 1
    assert f"--url {url} cannot be used: Invalid IDNA hostname" in message


def test_a_proxy_that_does_not_concern_the_service_is_not_blamed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    message = failure(capsys, monkeypatch, "models", "--url", "http://127.0.0.1:9")[1]
    assert "Start a service with vae serve" in message


def test_in_process_no_proxy_is_asked(vae: Vae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "[::1]")
    assert "oracle" in done(vae("models")).stdout


@pytest.mark.parametrize(
    ("model", "loaded"),
    [("digits", ("digits",)), (None, ("mnist",)), ("none", ()), ("mnist-labeled", ())],
)
def test_a_command_loads_the_model_that_it_needs_alone(
    model: str | None, loaded: tuple[str, ...]
) -> None:
    settings = connection.load_only(connection.local_settings(PRETRAINED), model)
    assert settings.load_models == loaded


def test_a_model_that_is_not_to_be_loaded_is_left_out() -> None:
    settings = connection.local_settings(PRETRAINED).model_copy(update={"load_models": ("bccd",)})
    assert connection.load_only(settings, "digits").load_models == ("bccd",)
    assert connection.load_only(settings, None).load_models == ("bccd",)
