"""A headless browser that can reach nothing but 127.0.0.1, with a log of what it asked and said.

It needs Debian's `chromium` and `chromium-driver` (or their likes) in the PATH, and downloads none.
"""

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

selenium = pytest.importorskip("selenium", reason="selenium drives the browser; it is not here")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
WAIT_SECONDS = 30
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
    "--window-size=1280,1000",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
AXE = find_spec("axe_core_python")
DROP = """
const [kind, selector, bytes, name] = arguments;
const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
const file = new File([content], name, {type: "image/png"});
const data = new DataTransfer();
data.items.add(file);
const event = kind === "paste"
  ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
  : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
document.querySelector(selector).dispatchEvent(event);"""
SERIOUS = """
const done = arguments[0];
const frame = () => new Promise(requestAnimationFrame);
const finite = (one) => Number.isFinite(one.effect.getComputedTiming().endTime);
(async () => {
  await frame();
  await frame();
  await Promise.allSettled(document.getAnimations().filter(finite).map((one) => one.finished));
  const {violations} = await axe.run();
  const serious = violations.filter(({impact}) => ["serious", "critical"].includes(impact));
  done(serious.map(({id, nodes}) => [id, nodes[0].html]));
})();"""

needs_browser = [
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
        self.downloads = profile.with_name(f"{profile.name}-downloads")
        self.downloads.mkdir()
        allowed = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)

    @contextmanager
    def at(self, url: str) -> Iterator[None]:
        """The same window on another server, whose complaints and requests are forgotten."""
        own, self.url = self.url, url
        try:
            yield
        finally:
            self.url = own
            self.driver.get("about:blank")
            self.complaints()
            self.asked()

    def open(self, path: str) -> None:
        """Load a page anew, also where only the hash differs."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}{path}")

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element; empty while there is none."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.driver.execute_script(script, selector))

    def press(self, words: str, within: str = "main") -> None:
        """Press the button with these words."""
        for button in self.all(f"{within} button, {within} label.button"):
            if button.text == words and button.is_displayed():
                button.click()
                return
        raise AssertionError(f"no button {words!r}")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Any, seconds: float = WAIT_SECONDS) -> Any:
        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(
            lambda driver: condition()
        )

    def until_there(self, selector: str) -> WebElement:
        self.until(lambda: self.all(selector) and self.find(selector).is_displayed())
        return self.find(selector)

    def set(self, selector: str, value: str) -> None:
        """What dragging a slider to a value, or typing it, does."""
        self.run(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "for (const name of ['input', 'change']) e.dispatchEvent(new Event(name))",
            selector,
            value,
        )

    def downloaded(self, name: str) -> bytes:
        """The content of a file that the page has saved, once it is whole."""
        path = self.downloads / name
        self.until(path.is_file)
        content = path.read_bytes()
        path.unlink()
        return content

    def hand(self, kind: str, selector: str, picture: bytes, name: str = "picture.png") -> None:
        """Paste a picture, or drop it, onto an element; `kind` is the event."""
        self.run(DROP, kind, selector, base64.b64encode(picture).decode(), name)

    def serious(self) -> list[Any]:
        """What axe-core finds serious: the rule, and the first element that breaks it.

        Colours are read once they have stopped to change: links fade into another scheme.
        """
        if AXE is None or AXE.origin is None:
            pytest.skip("axe-core-python is not installed")
        if not self.run("return 'axe' in window"):
            rules = Path(AXE.origin).with_name("axe.min.js").read_text(encoding="utf-8")
            self.run(rules)
        found: list[Any] = self.driver.execute_async_script(SERIOUS)
        return found

    def painted(self, selector: str) -> str | None:
        """The bytes of a canvas as PNG; None while nothing is painted on it."""
        script = """
            const canvas = document.querySelector(arguments[0]);
            const blank = document.createElement("canvas");
            [blank.width, blank.height] = [canvas?.width, canvas?.height];
            return canvas && canvas.toDataURL() !== blank.toDataURL() ? canvas.toDataURL() : null"""
        return self.run(script, selector) or None

    def emulate(self, *, width: int, scheme: str) -> None:
        """Another window, and another colour scheme."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the last call.

        Chromium notes each 503 there: a server on a busy machine gives them, and the page waits.
        """
        log = self.driver.get_log("browser")
        found = [line["message"] for line in log if line["level"] in ("SEVERE", "WARNING")]
        return [message for message in found if "status of 503" not in message]

    def asked(self) -> list[str]:
        """URLs asked for over the network since the last call."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        urls = [str(parameters["request"]["url"]) for parameters in sent]
        return [url for url in urls if url.startswith(("http", "ws"))]


@contextmanager
def browsing(url: str, profile: Path) -> Iterator[Browser]:
    """A browser that is closed in the end."""
    browser = Browser(url, profile)
    try:
        yield browser
    finally:
        browser.driver.quit()
