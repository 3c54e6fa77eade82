"""What a run will cost, by its recipe and its first steps: time and memory."""

from datetime import timedelta

import torch

from training.fit.order import Plan
from training.recipes.choose import fast_precision
from training.recipes.recipe import Recipe
from training.runs.hardware import peak_memory

MEASURED_STEPS = 20
"""Steps that are timed, after the first, in which memory is allocated and kernels are chosen."""


def describe_cost(plan: Plan, *, step: int, seconds_a_step: float, device: torch.device) -> str:
    """Seconds of an epoch, time that is left and memory, in words.

    Args:
        plan: The run's length.
        step: Steps done.
        seconds_a_step: Seconds of a step, without validations.
        device: Where it trains.
    """
    epoch, left = (seconds_a_step * n for n in (plan.steps_per_epoch, plan.num_steps - step))
    images = plan.batch_size / max(seconds_a_step, 1e-9)
    held = peak_memory(device)
    memory = f"{held['peak_memory_bytes'] / 2**20:,.0f} MiB of memory"
    if "peak_gpu_memory_bytes" in held:
        memory += f", {held['peak_gpu_memory_bytes'] / 2**20:,.0f} MiB of the GPU's"
    whole = timedelta(seconds=round(left))
    return (
        f"{images:,.0f} images a second: {epoch:.3g} s an epoch, {whole} to the end of epoch "
        f"{plan.epochs}, without validations. {memory}."
    )


def emulation_warning(recipe: Recipe, device: torch.device) -> str | None:
    """A warning where the recipe's bfloat16 is emulated, else None.

    A CPU with AVX2 alone trained `mnist-elbo` at 31 images a second with it, and at 299 without.
    """
    if recipe.training.precision != "bf16-mixed" or not hasattr(torch.cpu, "get_capabilities"):
        return None
    fast, because = fast_precision(device.type)
    if fast == "bf16-mixed":
        return None
    return (
        f"Warning: training.precision = bf16-mixed, but {because}: it is emulated, and can be ten "
        f"times slower. A new run by vae-lab train {recipe.name} --precision 32-true is faster."
    )
