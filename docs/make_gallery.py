"""Takes the pictures of gallery.md, and the README's animation, of a running service:

    vae serve & python docs/make_gallery.py http://127.0.0.1:8000

It needs selenium (the extra `dev`), and Debian's `chromium` and `chromium-driver` or their likes.
"""

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FIGURES = Path(__file__).resolve().parent / "figures" / "playground"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
VIEWS = ("draw", "latents", "map", "morph", "samples", "compare")
WIDE, PHONE = (1280, 900), (390, 844)
SETTLED_SECONDS = 6.0
"""Time after which a view has all its answers."""
FRAME_SECONDS = 0.25
FILM = (800, 562)
"""Size of the animation's frames."""


def start(size: tuple[int, int], profile: str, *, is_dark: bool = False) -> webdriver.Chrome:
    """A headless browser of this size and scheme."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(str(shutil.which("chromedriver"))))
    shape = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    return driver


def shoot(driver: webdriver.Chrome) -> Image.Image:
    """The window as it is."""
    return Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")


def open_view(driver: webdriver.Chrome, url: str, view: str) -> None:
    """Load the page anew at a view."""
    driver.get("about:blank")
    driver.get(f"{url}/#v={view}")


def press(driver: webdriver.Chrome, words: str) -> None:
    """Press the button with these words."""
    buttons = driver.find_elements(By.CSS_SELECTOR, "main button, nav *")
    next(button for button in buttons if button.text.strip() == words).click()


def watch(driver: webdriver.Chrome, seconds: float) -> Iterator[Image.Image]:
    """Frames of so many seconds."""
    for _ in range(round(seconds / FRAME_SECONDS)):
        begun = time.monotonic()
        yield shoot(driver)
        time.sleep(max(0.0, FRAME_SECONDS - (time.monotonic() - begun)))


def slide(driver: webdriver.Chrome, index: int, value: float) -> None:
    """Move a slider of the latents."""
    driver.execute_script(
        "const s = document.querySelectorAll('main input[type=range]')[arguments[0]];"
        "s.value = arguments[1]; s.dispatchEvent(new Event('input', {bubbles: true}));",
        index,
        value,
    )


def film(driver: webdriver.Chrome, url: str) -> Iterator[Image.Image]:
    """A held-out picture is scored and refined; then its latents move."""
    open_view(driver, url, "draw")
    time.sleep(SETTLED_SECONDS)
    yield from watch(driver, 1.5)
    press(driver, "Refine")
    yield from watch(driver, 3.5)
    press(driver, "Latents")
    yield from watch(driver, 1.5)
    for step in range(16):
        slide(driver, 0, 2.5 * (1 - abs(step - 8) / 4))
        yield from watch(driver, FRAME_SECONDS)
    press(driver, "Samples")
    yield from watch(driver, 1.5)


def main(url: str) -> None:
    """Write every picture."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        driver = start(WIDE, profile)
        for view in VIEWS:
            open_view(driver, url, view)
            time.sleep(SETTLED_SECONDS)
            shoot(driver).save(FIGURES / f"{view}.webp", quality=80, method=6)
        frames = [frame.resize(FILM, Image.Resampling.LANCZOS) for frame in film(driver, url)]
        driver.quit()
    with tempfile.TemporaryDirectory() as profile:
        driver = start(PHONE, profile, is_dark=True)
        open_view(driver, url, "draw")
        time.sleep(SETTLED_SECONDS)
        shoot(driver).save(FIGURES / "phone.webp", quality=80, method=6)
        driver.quit()
    frames[0].save(
        FIGURES / "film.webp",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 * FRAME_SECONDS),
        loop=0,
        quality=60,
        method=4,
    )


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
