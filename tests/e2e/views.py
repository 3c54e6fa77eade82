"""Views of the playground, and pictures to give it."""

import io

import httpx
import numpy as np

from tests.e2e.browser import Browser

VIEWS = {
    "draw": "#sentence",
    "latents": "#speed:not(:empty)",
    "map": "#decoded",
    "morph": "#decoded",
    "samples": "#samples img",
    "compare": "#compared .bar-line",
    "folder": ".folder .field",
}
"""What each view shows once it is ready."""


def digits(browser: Browser, query: str) -> np.ndarray:
    """Samples of mnist, (N, 28, 28) bytes."""
    url = f"{browser.url}/v1/models/mnist/sample?{query}&format=npy&dtype=uint8"
    return np.asarray(np.load(io.BytesIO(httpx.get(url).content))[:, 0])


def show(browser: Browser, view: str, more: str = "") -> None:
    """Open a view, and wait until it shows its pictures."""
    browser.open(f"/#v={view}{more}")
    browser.until_there(VIEWS[view])
    if view in ("latents", "map", "morph"):
        browser.until(lambda: browser.painted("#decoded"))
