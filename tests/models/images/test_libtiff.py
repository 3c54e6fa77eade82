"""libtiff's own lines stay off standard error."""

import ctypes
import subprocess
import sys

import pytest
from PIL import features

from models.images import libtiff

SCRIPT = """
import io, threading
import numpy as np
from PIL import Image
from models.errors import CorruptImage
from models.images.decoding import decode

buffer = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (99, 99), dtype=np.uint8)
Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_adobe_deflate")
whole = buffer.getvalue()
damaged = [whole.replace(whole[9:200], bytes(191)), whole[:8] + whole[2008:]]

def read(data):
    try:
        decode(data, background=0, max_pixels=10**6, media_type=None)
    except CorruptImage:
        print("refused")

threads = [threading.Thread(target=read, args=(data,)) for data in damaged * 4]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(not features.check("libtiff"), reason="Pillow has no libtiff.")
def test_a_damaged_tiff_is_refused_without_a_line_on_standard_error():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert done.stdout.count("refused") == 8


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_a_pillow_without_that_symbol_still_reads(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fail)
    libtiff.silence.cache_clear()
    libtiff.silence()
    libtiff.silence.cache_clear()
