"""A repeatable random subset of a split."""

import hashlib

import torch
from jaxtyping import Int64
from torch import Tensor


def choose_subset(num_images: int, size: int, *, seed: int) -> Int64[Tensor, " chosen"]:
    """Positions of a random subset, in random order: the same for the same seed on any machine."""
    digests = [hashlib.sha256(f"{seed} {i}".encode()).digest() for i in range(num_images)]
    ranked = sorted(range(num_images), key=digests.__getitem__)
    return torch.tensor(ranked[:size], dtype=torch.int64)
