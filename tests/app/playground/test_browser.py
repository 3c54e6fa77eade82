"""The start page and /docs in a real browser, which nothing but the served process can reach.

It needs Debian's `chromium` and `chromium-driver` (or their likes) in the PATH, and downloads none.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from app.operations.table import OPERATIONS
from app.settings import PRETRAINED
from tests.app.family_repository import make_families
from tests.app.pictures import encoded
from tests.app.server_process import Served, serving

selenium = pytest.importorskip("selenium", reason="selenium drives the browser; it is not here")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
WAIT_SECONDS = 60
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1200,1400",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or CHROMEDRIVER is None,
        reason="these tests need chromium and chromedriver in the PATH",
    ),
]


class Browser:
    """A headless browser with a log of what it asked for and complained of."""

    def __init__(self, url: str, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
        self.url = url

    def open(self, path: str) -> None:
        self.driver.get(f"{self.url}{path}")

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def until(self, condition: Any) -> Any:
        return WebDriverWait(self.driver, WAIT_SECONDS).until(lambda driver: condition())

    def until_there(self, selector: str) -> WebElement:
        self.until(lambda: self.find(selector).is_displayed())
        return self.find(selector)

    def source(self, image_id: str) -> str | None:
        """Where an image that is shown comes from; None while it is not."""
        script = "const i = document.getElementById(arguments[0]); return i.naturalWidth && i.src"
        return self.driver.execute_script(script, image_id) or None

    def set(self, element_id: str, value: str) -> None:
        """What dragging a slider to a value does."""
        self.driver.execute_script(
            "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
            "for (const name of ['input', 'change']) e.dispatchEvent(new Event(name))",
            element_id,
            value,
        )

    def complaints(self) -> list[str]:
        """Errors and warnings of the console so far."""
        log = self.driver.get_log("browser")
        return [line["message"] for line in log if line["level"] in ("SEVERE", "WARNING")]

    def asked(self) -> list[str]:
        """URLs asked for over the network so far."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        urls = [str(parameters["request"]["url"]) for parameters in sent]
        return [url for url in urls if url.startswith(("http", "ws"))]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("served") / "log"
    with serving(PRETRAINED, log) as served:
        yield served


def browsing(url: str, profile: Path) -> Iterator[Browser]:
    browser = Browser(url, profile)
    try:
        yield browser
    finally:
        browser.driver.quit()


@pytest.fixture
def browser(served: Served, tmp_path: Path) -> Iterator[Browser]:
    yield from browsing(served.url, tmp_path / "profile")


def test_the_start_page_draws_and_scores(browser: Browser, tmp_path: Path) -> None:
    browser.open("/")
    first = browser.until(lambda: browser.source("samples"))
    assert "mnist, version 1: 28 \N{MULTIPLICATION SIGN} 28 pixels" in browser.find("#about").text
    assert not browser.find("#locked").is_displayed()

    browser.find("#draw").click()
    second = browser.until(lambda: (s := browser.source("samples")) != first and s)
    assert browser.find("#seed").get_attribute("value") == "2"
    browser.set("temperature", "0.3")
    browser.until(lambda: browser.source("samples") not in (None, second))
    assert browser.find("#warmth").text == "0.3"

    browser.find("#own").click()
    browser.until(lambda: "ELBO" in browser.find("#scores").text)
    own = browser.source("given")

    page = np.full((40, 40), 255, np.uint8)
    page[5:35, 18:22] = 0
    (tmp_path / "one.png").write_bytes(encoded(page))
    browser.find("#file").send_keys(str(tmp_path / "one.png"))
    scores = browser.until(lambda: browser.source("given") != own and browser.find("#scores").text)
    assert "bits per dim" in scores
    assert "10000 test images" in scores
    assert "resize stretch" in browser.find("#steps").text
    browser.find("#invert").click()
    browser.until(lambda: "invert" in browser.find("#steps").text)
    assert browser.until(lambda: browser.find("#scores").text) != scores

    Select(browser.find("#model")).select_by_visible_text("digits")
    browser.until(lambda: "to 8x8" in browser.find("#steps").text)
    assert "digits, version 1" in browser.find("#about").text
    assert browser.source("reconstruction")
    assert browser.find("#error").text == ""
    assert browser.complaints() == []
    assert all(url.startswith(f"{browser.url}/") for url in browser.asked())


def test_the_start_page_warns_of_a_picture_that_looks_inverted(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open("/")
    browser.until(lambda: browser.source("samples"))
    digit = load_digits().images[3] / 16 * 255
    (tmp_path / "dark.png").write_bytes(encoded(255 - digit.astype(np.uint8)))
    Select(browser.find("#model")).select_by_visible_text("digits")
    browser.until(lambda: "digits, version 1" in browser.find("#about").text)
    browser.find("#file").send_keys(str(tmp_path / "dark.png"))
    browser.until(lambda: "looks inverted" in browser.find("#warnings").text)
    browser.find("#invert").click()
    browser.until(lambda: "invert" in browser.find("#steps").text)
    browser.until(lambda: browser.find("#scores").text)
    assert browser.find("#warnings").text == ""
    assert browser.complaints() == []


def test_the_start_page_shows_of_each_family_what_it_offers(tmp_path: Path) -> None:
    picture = np.zeros((4, 4), np.uint8)
    picture[1:3] = 255
    (tmp_path / "bars.png").write_bytes(encoded(picture))
    with serving(make_families(tmp_path / "models"), tmp_path / "log") as families:
        for browser in browsing(families.url, tmp_path / "profile"):
            browser.open("/")
            browser.until(lambda: "no default model. Choose one." in browser.find("#about").text)  # noqa: B023
            browser.find("#file").send_keys(str(tmp_path / "bars.png"))
            browser.until(lambda: browser.find("#error").text == "Choose a model first.")  # noqa: B023
            browser.find("#draw").click()
            assert browser.find("#error").text == "Choose a model first."
            assert browser.source("samples") is None

            Select(browser.find("#model")).select_by_visible_text("autoencoder")
            browser.until(lambda: "autoencoder, version 1" in browser.find("#about").text)  # noqa: B023
            assert not browser.find("#draw").is_enabled()
            browser.until(lambda: browser.source("reconstruction"))  # noqa: B023
            assert browser.find("#scores").text == ""
            assert not browser.find("#label").is_displayed()

            Select(browser.find("#model")).select_by_visible_text("m2")
            scores = browser.until(lambda: browser.find("#scores").text)  # noqa: B023
            assert "by classifier" in scores
            assert "ELBO" in scores
            drawn = browser.source("samples")
            Select(browser.find("#label")).select_by_visible_text("bee")
            browser.until(lambda: browser.source("samples") not in (None, drawn))  # noqa: B023

            Select(browser.find("#model")).select_by_visible_text("categorical")
            browser.until(lambda: "by components" in browser.find("#scores").text)  # noqa: B023
            assert browser.source("reconstruction") is None
            assert browser.find("#error").text == ""
            assert browser.complaints() == []


def test_the_start_page_says_why_no_model_is_served(tmp_path: Path) -> None:
    (tmp_path / "models" / "torn" / "1").mkdir(parents=True)
    with serving(tmp_path / "models", tmp_path / "log", ready=503) as empty:
        for browser in browsing(empty.url, tmp_path / "profile"):
            browser.open("/")
            message = browser.until(lambda: browser.find("#error").text)  # noqa: B023
            assert message.startswith("No model is served. torn is broken: <repository>/torn/1 has")
            assert browser.find("#about").text == ""


def test_a_picture_that_cannot_be_read_is_refused_in_words(
    browser: Browser, tmp_path: Path
) -> None:
    browser.open("/")
    browser.until(lambda: browser.source("samples"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    browser.find("#file").send_keys(str(tmp_path / "broken.png"))
    message = browser.until(lambda: browser.find("#error").text)
    for part in (
        "The file is text that begins with 'no picture'",
        "sent as image/png",
        "Pictures are PNG, JPEG",
    ):
        assert part in message
    assert browser.find("#steps").text == ""


def test_the_start_page_asks_for_a_key_where_there_are_keys(tmp_path: Path) -> None:
    from app.api.keys import hash_key

    flags = ("--api-keys-sha256", hash_key("open sesame"))
    with serving(PRETRAINED, tmp_path / "log", *flags) as locked:
        for browser in browsing(locked.url, tmp_path / "profile"):
            browser.open("/")
            browser.until(lambda: browser.find("#locked").is_displayed())  # noqa: B023
            assert "Authorization: Bearer" in browser.until(lambda: browser.find("#error").text)  # noqa: B023
            browser.set("key", "open sesame")
            assert browser.until(lambda: browser.source("samples"))  # noqa: B023


def test_docs_render_and_try_out_without_a_network(browser: Browser) -> None:
    browser.open("/docs")
    browser.until_there("#operations-probes-metrics")
    tags = browser.driver.find_elements(By.CSS_SELECTOR, ".opblock-tag")
    assert [tag.get_attribute("data-tag") for tag in tags] == [
        *("operations", "models", "the same, for a model"),
        *("the same, for one version of a model", "probes"),
    ]
    shown = [tag.get_attribute("data-is-open") for tag in tags]
    assert shown == ["true", "true", "false", "false", "true"]  # one path for each operation
    paths = browser.driver.find_elements(By.CSS_SELECTOR, ".opblock-summary-path")
    assert [path.get_attribute("data-path") for path in paths[:9]] == [
        f"/v1/{name}" for name in OPERATIONS
    ]
    assert browser.until_there(".btn.authorize")
    for name, form, shown in (
        ("decode", "application/json", "code"),
        ("sample", "image/png", "img"),
    ):
        block = f"#operations-operations-{name}"
        browser.find(f"{block} .opblock-summary-control").click()
        browser.until_there(f"{block} .try-out__btn").click()
        Select(browser.until_there(f"{block} .response-control-media-type select")).select_by_value(
            form
        )
        browser.until_there(f"{block} .execute").click()
        answer = f"{block} .live-responses-table tr.response"
        assert browser.until_there(f"{answer} .response-col_status").text.startswith("200")
        assert browser.until_there(f"{answer} {shown}")
    assert browser.complaints() == []
    assert all(url.startswith(f"{browser.url}/") for url in browser.asked())
