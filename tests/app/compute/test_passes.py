"""Rows of passes on their way to the network."""

import numpy as np
import torch

from app.compute.passes import to_device


def test_rows_that_are_there_are_not_copied_and_others_are_moved() -> None:
    rows = np.ones((2, 3), np.float32)
    there = to_device(rows, torch.device("cpu"))
    assert there.data_ptr() == rows.ctypes.data
    assert to_device(there, there.device) is there
    moved = to_device(rows, torch.device("meta"))  # stands for a device of its own
    assert (moved.device.type, moved.shape) == ("meta", (2, 3))
