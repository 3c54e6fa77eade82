"""The error of a step that finds too little memory, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.errors import RunError
from training.recipes.recipe import Recipe

_WORDS = (
    *("out of memory", "can't allocate memory", "not enough memory"),
    *("storage size calculation", "overflow when unpacking", "multiplication overflow"),
)
"""What torch says of it, on devices and on CPUs, in plain RuntimeErrors and TypeErrors."""


@contextmanager
def memory_errors(recipe: Recipe) -> Iterator[None]:
    """Turn the errors of an allocation that failed into one that names what makes a step smaller.

    Raises:
        RunError: The memory is too small.
    """
    try:
        yield
    except (MemoryError, RuntimeError, TypeError) as error:
        first, *_ = str(error).splitlines() or [""]
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(
            words in first.lower() for words in _WORDS
        ):
            raise
        size = recipe.training.batch_size
        raise RunError(
            f"The memory is too small for this model and training.batch_size = {size}: "
            f"{first[:200].rstrip('.')}. Take smaller batches, as in --set "
            f"training.batch_size={max(1, size // 2)}, or a smaller model (vae)."
        ) from error
