"""Models of diffusers: the same outputs, the same cost, and a reason for what is not read."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from models.bundle.diffusers import read_diffusers
from models.errors import BundleCorrupt, BundleNotFound, ConfigError
from tests.diffusers_models import (
    CASES,
    CONFIG,
    WEIGHTS,
    edit_config,
    edit_tensors,
    make_autoencoder,
)

OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A saved model, by default the first."""
    make_autoencoder(getattr(request, "param", "sd")).save_pretrained(tmp_path)
    return tmp_path


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_it_computes_what_diffusers_does(case: str, tmp_path: Path) -> None:
    theirs = make_autoencoder(case)
    theirs.save_pretrained(tmp_path)
    ours = read_diffusers(tmp_path)
    x = torch.rand(3, *ours.vae.image_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, q = theirs.encode(2 * x - 1).latent_dist, ours.vae.posterior(x)
        assert close(q.mean, wanted.mean)
        assert close(q.scale, wanted.std)
        picture = ours.vae.likelihood(wanted.mean).mean
        assert close(2 * picture - 1, theirs.decode(wanted.mean).sample)
    size = theirs.config.sample_size
    assert (ours.image.height, ours.image.width) == (
        size if isinstance(size, tuple) else (size,) * 2
    )
    scaling = ours.latent_scaling
    assert scaling.scaling_factor == theirs.config.scaling_factor
    assert scaling.shift_factor == (theirs.config.shift_factor or 0)
    assert not ours.has_latent_moments


@pytest.mark.parametrize("folder", CASES, indirect=True)
def test_its_cost_is_every_product_of_a_decoding(folder: Path) -> None:
    vae = read_diffusers(folder).vae
    plain = sdpa_kernel(SDPBackend.MATH)  # whose products torch counts
    with torch.no_grad(), plain, FlopCounterMode(display=False) as counter:
        _ = vae.likelihood(torch.zeros(1, *vae.latent_shape)).mean
    assert vae.decoder_macs() == counter.get_total_flops() // 2


def test_log_variances_are_clamped_as_diffusers_clamps_them(folder: Path) -> None:
    def spread(tensors: dict[str, torch.Tensor]) -> None:
        tensors["quant_conv.bias"][4:] = torch.tensor([-60.0, 60.0, -20.0, 10.0])

    edit_tensors(folder, spread)
    vae = read_diffusers(folder).vae
    with torch.no_grad():
        scale = vae.posterior(torch.full((1, 3, 8, 8), 0.5)).scale[0].flatten(1).mean(1)
    assert scale[0].item() == pytest.approx(math.exp(-15), rel=1e-4)
    assert scale[1].item() == pytest.approx(math.exp(10), rel=1e-4)


def test_a_row_has_its_own_bits_in_any_batch(folder: Path) -> None:
    vae = read_diffusers(folder).vae.freeze()
    x = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    together = vae.posterior(x).mean
    assert torch.equal(vae.posterior(x[3:4]).mean, together[3:4])
    decoded = vae.likelihood(together).mean
    assert torch.equal(vae.likelihood(together[3:]).mean, decoded[3:])
    assert vae.least_rows == 1


def test_older_attentions_have_other_names_and_convolutions(folder: Path) -> None:
    whole = read_diffusers(folder)

    def older(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        renamed = {}
        for name, tensor in tensors.items():
            for new, old in OLD_NAMES.items():
                if f".{new}." in name:
                    name = name.replace(f".{new}.", f".{old}.")
                    tensor = tensor[..., None, None] if name.endswith("weight") else tensor
            renamed[name] = tensor
        assert renamed.keys() != tensors.keys()
        return renamed

    edit_tensors(folder, older)
    again = read_diffusers(folder)
    for name, tensor in whole.vae.state_dict().items():
        assert torch.equal(again.vae.state_dict()[name], tensor)


def test_a_pipelines_folder_and_half_precision_will_do(folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "pipeline" / "vae"
    inner.mkdir(parents=True)
    edit_tensors(folder, lambda tensors: {n: t.half() for n, t in tensors.items()})
    (folder / CONFIG).rename(inner / CONFIG)
    (folder / WEIGHTS).rename(inner / "diffusion_pytorch_model.fp16.safetensors")
    edit_config(inner, latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    found = read_diffusers(tmp_path / "pipeline", height=12, width=6)
    assert found.vae.image_shape == (3, 12, 6)
    assert found.vae.latent_shape == (4, 6, 3)
    assert found.has_latent_moments
    assert {weights.dtype for weights in found.vae.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_class_name": "AutoencoderTiny"}, "_class_name = 'AutoencoderTiny' is not read here"),
        ({"act_fn": "gelu"}, "it must be 'silu' or 'swish'"),
        ({"in_channels": 4}, "in_channels = 4"),
        ({"out_channels": 1}, "out_channels = 1 is not read here; it must be 3"),
        ({"down_block_types": ["AttnDownEncoderBlock2D"] * 2}, "down_block_types"),
        ({"up_block_types": ["UpDecoderBlock2D"]}, "up_block_types"),
        ({"sample_size": 9}, "height=9 is not a multiple of 2.* Give --height 8."),
        ({"sample_size": [8, 1]}, "width=1 is not a multiple of 2.* Give --width 2."),
        ({"norm_num_groups": 3}, "groups = 3 does not divide channels .* Set groups = 8."),
        ({"sample_size": 8192}, "image_shape"),
    ],
)
def test_another_architecture_is_refused_in_words(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    edit_config(folder, **changes)
    with pytest.raises(ConfigError, match=words):
        read_diffusers(folder)


def test_what_cannot_be_read_is_refused_in_words(folder: Path) -> None:
    def lack(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["decoder.conv_in.bias"]

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["encoder.conv_in.bias"][0] = torch.nan

    raw = (folder / WEIGHTS).read_bytes()
    for change, words in (
        (lack, "has no tensor decoder.conv_in.bias"),
        (spoil, "encoder.conv_in.bias is not finite"),
        (lambda t: {**t, "encoder.more": torch.zeros(1)}, "1 tensors .* the first is encoder.more"),
        (
            lambda t: {**t, "encoder.conv_in.bias": torch.zeros(9)},
            r"encoder.conv_in.bias is torch.float32 \(9,\); its config.json asks for \(8,\)",
        ),
    ):
        edit_tensors(folder, change)
        with pytest.raises(BundleCorrupt, match=words):
            read_diffusers(folder)
        (folder / WEIGHTS).write_bytes(raw)
    (folder / WEIGHTS).write_bytes(raw[:100])
    with pytest.raises(BundleCorrupt, match="cannot be read as safetensors"):
        read_diffusers(folder)
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(BundleNotFound, match=r"is a pickle, which may run code.*save_pretrained"):
        read_diffusers(folder)
    (folder / CONFIG).write_text('{"sample_size": "large"}')
    with pytest.raises(BundleCorrupt, match="sample_size"):
        read_diffusers(folder)
    (folder / CONFIG).write_text("{")
    with pytest.raises(BundleCorrupt, match="is not JSON"):
        read_diffusers(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(BundleNotFound, match=r"has no config.json, and no vae/config.json"):
        read_diffusers(folder)
