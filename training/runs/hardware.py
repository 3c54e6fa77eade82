"""The machine that a run is on: its devices, and the most memory that the run has held."""

import platform
import resource
import sys

import torch


def hardware(device: torch.device) -> str:
    """The GPU's name, or the number of CPU threads and the architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' if threads > 1 else ''}, {platform.machine()}"


def peak_memory(device: torch.device) -> dict[str, int]:
    """The most memory that this process has held, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        peak["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return peak
