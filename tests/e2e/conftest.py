"""One server of the shipped models, under a path prefix, and one browser for all tests here."""

from collections.abc import Iterator

import pytest

from app.settings import PRETRAINED
from tests.app.server_process import serving
from tests.e2e.browser import Browser, browsing


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose addresses are those of the server, below its prefix."""
    folder = tmp_path_factory.mktemp("e2e")
    with (
        serving(PRETRAINED, folder / "log", "--root-path", "/vae") as served,
        browsing(f"{served.url}/vae", folder / "profile") as browser,
    ):
        yield browser


@pytest.fixture
def browser(page: Browser) -> Iterator[Browser]:
    """The browser in a wide window; a test must leave no complaint, and ask no other origin."""
    page.emulate(width=1280, scheme="light")
    page.complaints()
    page.asked()
    yield page
    assert page.complaints() == []
    assert [url for url in page.asked() if not url.startswith(f"{page.url}/")] == []
