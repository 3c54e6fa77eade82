"""The machine that a run is on: its devices, and the most memory that the run has held."""

import platform
import resource
import sys

import torch

from models.errors import ConfigError


def find_device(name: str) -> str:
    """The device to compute on: for `auto` cuda where there is a GPU, else cpu.

    Raises:
        ConfigError: The name is unknown, or this machine has no such device.
    """
    here = ["cpu"]
    if torch.cuda.is_available():
        here = [*(f"cuda:{index}" for index in range(torch.cuda.device_count())), "cuda", *here]
    if torch.backends.mps.is_available():
        here.append("mps")
    if name == "auto":
        return "cuda" if "cuda" in here else "cpu"
    if name not in here:
        raise ConfigError(
            f"--device {name}: this machine has no such device. Allowed here: auto, "
            f"{', '.join(here)}. Take --device auto.",
            parameter="device",
            received=name,
            allowed=["auto", *here],
            suggestion="auto",
        )
    return name


def generator_of(device: torch.device) -> torch.Generator:
    """The random numbers that torch draws on a device unless it is told others, dropout's too."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[device.index or 0]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


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
