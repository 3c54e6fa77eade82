"""Threads of one torch operator where no setting names them."""

import torch

from models.cpus import usable_cpus


def default_threads(workers: int) -> int:
    """Threads of one worker: torch's own number, within this process's share of the CPUs."""
    return max(1, min(torch.get_num_threads(), usable_cpus() // workers))
