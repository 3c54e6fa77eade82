"""libtiff's own lines kept off standard error; what is wrong with a TIFF, the decoder raises.

Pillow silences libtiff's warnings, not its errors, and has no switch for them.
"""

import ctypes
from functools import cache

from PIL import _imaging


@cache
def silence() -> None:
    """Unset the process's handler of libtiff's errors; done once, from whatever thread."""
    try:
        # Symbols are looked up in the libraries that Pillow's own one loaded, libtiff among them.
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    except (OSError, AttributeError):  # libtiff is built in, or is not there
        return
