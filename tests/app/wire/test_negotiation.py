"""Content negotiation by quality."""

import pytest

from app.errors import NotAcceptable
from app.wire.negotiation import negotiate

FORMS = ("json", "png", "npy")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("image/png", "png"),
        ("image/*", "png"),
        ("application/*", "json"),
        ("IMAGE/PNG", "png"),
        ("application/json;q=0.5, image/png;q=0.9", "png"),
        ("application/json; charset=utf-8", "json"),
        ("image/png, */*;q=0.1", "png"),
        ("*/*, application/json;q=0", "png"),
        ("application/x-npy;q=0.2, text/html", "npy"),
        ("text/html,application/xhtml+xml,image/avif,*/*;q=0.8", "json"),
        ("image/png;q=nonsense, application/x-npy", "npy"),
        ("image/png;q=7, application/x-npy;q=0.1", "npy"),
    ],
)
def test_the_form_is_the_one_that_the_caller_likes_best(accept: str | None, form: str) -> None:
    assert negotiate(accept, FORMS) == form


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=0", ",", "image/png;q=0", "nonsense"])
def test_no_acceptable_form_is_refused_with_those_there_are(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/x-npy"):
        negotiate(accept, FORMS)


@pytest.mark.parametrize(
    ("accept", "meant"),
    [("application/x-np", "application/json"), ("application/json;q=0", "image/png")],
)
def test_the_default_form_is_suggested_unless_it_is_excluded(accept: str, meant: str) -> None:
    with pytest.raises(NotAcceptable, match=f"Send Accept: {meant}, or add format=") as refused:
        negotiate(accept, FORMS)
    assert refused.value.details["suggestion"] == meant
