"""Find pictures by their stamps, a million at once."""

import numpy as np
from jaxtyping import Int64

from training.data.file_stamp import LENGTH
from training.data.samples import Stamps

Places = Int64[np.ndarray, " _"]


def find_stamps(stamps: Stamps, known: Stamps) -> Places:
    """The place of each stamp in `known`; -1 where it is not there, or is none."""
    if stamps.shape == known.shape and np.array_equal(stamps, known):
        return np.where(stamps.any(axis=1), np.arange(len(stamps)), -1)
    wanted, have = _keys(stamps), _keys(known)
    places = np.full(len(stamps), -1, np.int64)
    if len(have):
        order = np.argsort(have, kind="stable")
        nearest = order[np.minimum(np.searchsorted(have, wanted, sorter=order), len(have) - 1)]
        is_known = (have[nearest] == wanted) & stamps.any(axis=1)
        places[is_known] = nearest[is_known]
    return places


def _keys(stamps: Stamps) -> np.ndarray:
    return np.ascontiguousarray(stamps).view(f"S{LENGTH}")[:, 0]
