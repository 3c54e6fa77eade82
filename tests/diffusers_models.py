"""Small random `AutoencoderKL`s of diffusers, saved as its users have them."""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
CASES: dict[str, dict[str, Any]] = {
    "sd": {
        "block_out_channels": (8, 16),
        "layers_per_block": 2,
        "norm_num_groups": 4,
        "sample_size": 8,
    },
    "flux": {
        "block_out_channels": (8, 16, 16),
        "norm_num_groups": 8,
        "latent_channels": 16,
        "sample_size": (8, 16),
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "grey": {
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (4,),
        "norm_num_groups": 2,
        "sample_size": 6,
        "mid_block_add_attention": False,
        "use_quant_conv": False,
    },
}
"""Like Stable Diffusion 1.x; like Flux, wider than high; and what the config allows besides."""


def make_autoencoder(case: str) -> Any:
    """A model of diffusers with random weights, whose biases and norms are random too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what diffusers imports
        diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    config = CASES[case]
    count = len(config["block_out_channels"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * count,
            up_block_types=("UpDecoderBlock2D",) * count,
            **config,
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return model.eval().requires_grad_(False)


def edit_config(folder: Path, **changes: Any) -> None:
    """Change fields of a saved model's config."""
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(
    folder: Path, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor] | None]
) -> None:
    """Change a saved model's tensors in place, or by what a function returns."""
    tensors = load_file(folder / WEIGHTS)
    save_file(dict(change(tensors) or tensors), folder / WEIGHTS)
