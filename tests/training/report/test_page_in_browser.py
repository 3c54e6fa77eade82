"""The page in a real browser: nothing is asked for, nothing fails, and it fits every window.

It needs Debian's `chromium` and `chromium-driver` (or their likes) in the PATH.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium drives the browser; it is not here")
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.e2e.browser import CHROMEDRIVER, CHROMIUM, FLAGS, needs_browser
from training.report.page import REPORT

pytestmark = needs_browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    yield driver
    driver.quit()


def show(driver: Any, page: Path, *, width: int, scheme: str) -> None:
    """Open the page in a window of that width with that colour scheme."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())


def asked_for(driver: Any) -> list[str]:
    """Addresses that the page asked for since the last call."""
    events = (json.loads(line["message"])["message"] for line in driver.get_log("performance"))
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not url.startswith("data:")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_asks_for_nothing_fails_nowhere_and_fits_the_window(
    driver: Any, trained: Path, width: int, scheme: str
) -> None:
    page = trained / REPORT
    asked_for(driver)
    show(driver, page, width=width, scheme=scheme)
    assert asked_for(driver) == [page.as_uri()]
    assert driver.get_log("browser") == []
    pixels = driver.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth,"
        " [...document.images].filter(image => !image.naturalWidth).length]"
    )
    assert pixels[0] <= pixels[1]
    assert pixels[2] == 0


def test_charts_take_the_colours_of_the_page(driver: Any, trained: Path) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        show(driver, trained / REPORT, width=1280, scheme=scheme)
        colours[scheme] = driver.execute_script(
            "const style = element => getComputedStyle(element);"
            "return [style(document.body).backgroundColor, style(document.body).color,"
            " style(document.querySelector('figure svg text')).fill]"
        )
    for page, ink, text in colours.values():
        assert ink == text != page
    assert colours["light"][0] != colours["dark"][0]
