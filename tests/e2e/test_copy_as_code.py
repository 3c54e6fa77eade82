"""What the playground's [Copy as code] gives: it runs as it stands, and gives the same numbers."""

import base64
import io
import os
import re
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tests.commands import ROOT, clean_environment
from tests.e2e.browser import Browser, needs_browser
from tests.e2e.views import show

pytestmark = needs_browser


def snippets(browser: Browser) -> list[str]:
    """The last call as curl, Python and command; the file that they read is saved beside them."""
    browser.find("#code").click()
    browser.until_there("#dialog pre")
    found = [block.text for block in browser.all("#dialog pre")]
    for button in browser.all("#dialog p button"):
        button.click()
    browser.press("Close", "#dialog")
    return found


def run_snippets(browser: Browser, folder: Path) -> list[tuple[str, Path]]:
    """What each snippet prints, as it stands, and its folder, where the saved file is too."""
    client = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "client")])}
    environment = clean_environment(folder) | client
    written, results = snippets(browser), []
    saved = re.search(r"images=@(\S+)|@(latents\.npy)", written[0])
    assert saved is not None, written[0]
    file = saved[1] or saved[2]
    content = browser.downloaded(file)
    for name, text in zip(("curl", "python", "command"), written, strict=True):
        place = folder / name
        place.mkdir()
        (place / file).write_bytes(content)
        program = ["python", "-c", text] if name == "python" else ["bash", "-euc", text]
        done = subprocess.run(
            program, cwd=place, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, (text, done.stderr)
        results.append((done.stdout, place))
    return results


def test_the_snippets_give_the_numbers_that_the_page_shows(
    browser: Browser, tmp_path: Path
) -> None:
    show(browser, "draw")
    browser.until(lambda: "2,000 draws of the encoder's" in browser.text(".likelihood"))
    shown = browser.text(".likelihood .facts")
    found = re.search(r"estimate\s+\u2212([\d.]+) nats", shown)
    assert found is not None, shown
    places = len(found[1].partition(".")[2])
    for printed, _ in run_snippets(browser, tmp_path):
        last = printed.strip().splitlines()[-1]  # of a stream
        estimate = re.search(r'"estimate_nats": ?-([\d.]+)|^\[-([\d.]+)\]', last)
        assert estimate is not None, last
        assert f"{float(estimate[1] or estimate[2]):.{places}f}" == found[1]


def test_the_snippets_decode_the_picture_that_the_page_shows(
    browser: Browser, tmp_path: Path
) -> None:
    show(browser, "latents", "&z=0:1.5")
    shown = browser.painted("#decoded")
    assert shown is not None
    pixels = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))).convert("L")
    )
    for _, place in run_snippets(browser, tmp_path):
        decoded = Image.open(place / "decode.png").convert("L")
        np.testing.assert_array_equal(np.asarray(decoded), pixels)
