"""/docs in a real browser, without a network."""

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from app.operations.table import OPERATIONS
from tests.e2e.browser import Browser, needs_browser

pytestmark = needs_browser


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
    for scheme in ("light", "dark"):
        browser.emulate(width=1280, scheme=scheme)
        assert browser.serious() == [], scheme
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
