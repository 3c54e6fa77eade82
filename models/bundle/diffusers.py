"""A diffusers `AutoencoderKL` as a model of this project: its config, and its weights renamed.

    config.json                            architecture, sample_size, scaling_factor, shift_factor
    diffusion_pytorch_model.safetensors    encoder.conv_in.weight -> encoder.body.0.weight, ...

diffusers itself is not needed, and nothing is unpickled.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.bundle.schema import LatentScaling
from models.config import AutoencoderKLConfig, DiagonalNormalConfig, NoPriorConfig, PointConfig
from models.errors import BundleCorrupt, BundleNotFound, ConfigError, describe_invalid
from models.images.spec import ImageSpec
from models.vae import VAE
from models.vae_config import VAEConfig

CONFIG_FILE = "config.json"
WEIGHTS_FILES = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
)
"""The weights' file: the first of these that there is."""
_CLASS = "AutoencoderKL"
_DOWN, _UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
_ATTENTION = {
    "norm": ("group_norm",),
    "query": ("to_q", "query"),
    "key": ("to_k", "key"),
    "value": ("to_v", "value"),
    "out": ("to_out.0", "proj_attn"),
}
"""Our names in an attention, and theirs: today's, and those of before diffusers 0.17."""


class SourceConfig(BaseModel):
    """What an `AutoencoderKL`'s config.json says, with the defaults of diffusers."""

    class_name: str = Field("", alias="_class_name")
    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = (_DOWN,)
    up_block_types: tuple[str, ...] = (_UP,)
    block_out_channels: tuple[PositiveInt, ...] = (64,)
    layers_per_block: PositiveInt = 1
    act_fn: str = "silu"
    latent_channels: PositiveInt = 4
    norm_num_groups: PositiveInt = 32
    sample_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 32
    scaling_factor: PositiveFloat = 0.18215
    shift_factor: float | None = None
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True


@dataclass(frozen=True)
class Imported:
    """A model that was read from a folder of diffusers."""

    vae: VAE
    """In eval mode, float32."""
    image: ImageSpec
    latent_scaling: LatentScaling
    weights_file: Path
    weights_sha256: str
    has_latent_moments: bool
    """Whether its config has `latents_mean` or `latents_std`, which are not kept."""


def read_diffusers(
    folder: Path, *, height: int | None = None, width: int | None = None
) -> Imported:
    """Read an `AutoencoderKL` as `save_pretrained` writes it.

    Args:
        folder: The model's folder, or a pipeline's that has it as `vae/`.
        height: Height of its pictures, in pixels; the config's `sample_size` by default.
        width: Their width, likewise.

    Raises:
        BundleNotFound: The folder lacks the config or the weights as safetensors.
        ConfigError: The model is of another class, or has parts that are not built here.
        BundleCorrupt: A file cannot be read, or the tensors are not those of the config.
    """
    folder = _model_folder(folder)
    source = _read_config(folder / CONFIG_FILE)
    vae_config = _vae_config(source, height=height, width=width)
    weights_file = _weights_file(folder)
    with weights_file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    try:
        tensors = load_file(weights_file)
    except (SafetensorError, KeyError) as error:  # KeyError: a type that torch has not
        raise BundleCorrupt(f"{weights_file} cannot be read as safetensors: {error}") from error
    channels, pixel_height, pixel_width = vae_config.image_shape
    return Imported(
        vae=_load(vae_config, tensors, weights_file),
        image=ImageSpec(
            channels=channels,
            height=pixel_height,
            width=pixel_width,
            values="unit",
            resample="lanczos",
        ),
        latent_scaling=LatentScaling(
            scaling_factor=source.scaling_factor, shift_factor=source.shift_factor or 0.0
        ),
        weights_file=weights_file,
        weights_sha256=digest,
        has_latent_moments=source.latents_mean is not None or source.latents_std is not None,
    )


def _model_folder(folder: Path) -> Path:
    inner = folder / "vae"
    found = next((one for one in (folder, inner) if (one / CONFIG_FILE).is_file()), None)
    if found is None:
        raise BundleNotFound(
            f"{folder} has no {CONFIG_FILE}, and no vae/{CONFIG_FILE}. Give the folder that "
            f"{_CLASS}.save_pretrained wrote, or that of a pipeline.",
            parameter="folder",
            received=str(folder),
        )
    return found


def _weights_file(folder: Path) -> Path:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    pickled = next(iter(sorted(folder.glob("*.bin"))), None)
    why = f" {pickled.name} is a pickle, which may run code when it is read." if pickled else ""
    raise BundleNotFound(
        f"{folder} has no {WEIGHTS_FILES[0]}.{why} Write it in Python: "
        f"{_CLASS}.from_pretrained('{folder}').save_pretrained('{folder}').",
        parameter="folder",
        received=str(folder),
        allowed=WEIGHTS_FILES,
    )


def _read_config(path: Path) -> SourceConfig:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        source = SourceConfig.model_validate(content)
    except ValidationError as error:
        raise BundleCorrupt(f"{path}: {describe_invalid(error)}") from error
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path} is not JSON: {error}") from error
    for name, received, allowed in _limits(source):
        if received not in allowed:
            raise ConfigError(
                f"{path}: {name} = {received!r} is not read here; it must be "
                f"{' or '.join(map(repr, allowed))}. Import an {_CLASS} of that kind.",
                parameter=name,
                received=received,
                allowed=allowed,
            )
    return source


def _limits(source: SourceConfig) -> Iterator[tuple[str, object, tuple[object, ...]]]:
    """Fields of the config that have few values here, with those."""
    resolutions = len(source.block_out_channels)
    yield "_class_name", source.class_name, (_CLASS,)
    yield "act_fn", source.act_fn, ("silu", "swish")
    yield "in_channels", source.in_channels, (1, 3)
    yield "out_channels", source.out_channels, (source.in_channels,)
    yield "down_block_types", source.down_block_types, ((_DOWN,) * resolutions,)
    yield "up_block_types", source.up_block_types, ((_UP,) * resolutions,)


def _vae_config(source: SourceConfig, *, height: int | None, width: int | None) -> VAEConfig:
    size = source.sample_size
    default_height, default_width = (size, size) if isinstance(size, int) else size
    sides = height or default_height, width or default_width
    factor = 2 ** (len(source.block_out_channels) - 1)
    for name, side in zip(("height", "width"), sides, strict=True):
        if side % factor:
            better = max(factor, side - side % factor)
            raise ConfigError(
                f"{name}={side} is not a multiple of {factor}, by which this model divides it. "
                f"Give --{name} {better}.",
                parameter=name,
                received=side,
                suggestion=better,
            )

    def network(latent_conv: bool) -> AutoencoderKLConfig:
        return AutoencoderKLConfig(
            channels=source.block_out_channels,
            blocks=source.layers_per_block,
            groups=source.norm_num_groups,
            attention=source.mid_block_add_attention,
            latent_conv=latent_conv,
        )

    try:
        return VAEConfig(
            image_shape=(source.in_channels, *sides),  # type: ignore[arg-type]
            latent_shape=(source.latent_channels, *(side // factor for side in sides)),
            likelihood=PointConfig(),
            prior=NoPriorConfig(),
            posterior=DiagonalNormalConfig(),
            encoder=network(source.use_quant_conv),
            decoder=network(source.use_post_quant_conv),
        )
    except ValidationError as error:
        raise ConfigError(describe_invalid(error)) from error


def _load(config: VAEConfig, tensors: Mapping[str, Tensor], file: Path) -> VAE:
    """The model with the tensors of a file, each under the name that it has here."""
    with torch.device("meta"):
        vae = VAE(config)
    places = dict(_places(config))
    found: dict[str, Tensor] = {}
    used = set()
    for name, wanted in vae.state_dict().items():
        prefix, _, kind = name.rpartition(".")
        candidates = [f"{place}.{kind}" for place in places[prefix]]
        theirs = next((one for one in candidates if one in tensors), None)
        if theirs is None:
            raise BundleCorrupt(f"{file} has no tensor {candidates[0]}. Save the model again.")
        used.add(theirs)
        found[name] = _as_wanted(tensors[theirs], wanted, name=theirs, file=file)
    if extra := sorted(tensors.keys() - used):
        raise BundleCorrupt(
            f"{file} has {len(extra)} tensors that its {CONFIG_FILE} has no place for, the first "
            f"is {extra[0]}. Save the model again."
        )
    vae.load_state_dict(found, assign=True)
    return vae.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]


def _as_wanted(tensor: Tensor, wanted: Tensor, *, name: str, file: Path) -> Tensor:
    """The tensor as float32; older attentions have 1x1 convolutions in the place of matrices."""
    shape = tuple(wanted.shape)
    if tuple(tensor.shape) == (*shape, 1, 1):
        tensor = tensor[..., 0, 0]
    if tuple(tensor.shape) != shape or not tensor.is_floating_point():
        raise BundleCorrupt(
            f"{file}: {name} is {tensor.dtype} {tuple(tensor.shape)}; its {CONFIG_FILE} asks for "
            f"{shape}. Save the model again."
        )
    if not bool(tensor.isfinite().all()):
        raise BundleCorrupt(f"{file}: {name} is not finite. Save the model again.")
    return tensor.float().clone()  # the file stays mapped into memory otherwise


def _places(config: VAEConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our name of every module with weights, and the names that it may have in diffusers."""
    orders = {
        "encoder": _encoder_order(cast(AutoencoderKLConfig, config.encoder)),
        "decoder": _decoder_order(cast(AutoencoderKLConfig, config.decoder)),
    }
    for ours, order in orders.items():
        for i, theirs in enumerate(order):
            place = f"{ours}.body.{i}"
            if theirs.endswith("attentions.0"):
                for name, others in _ATTENTION.items():
                    yield f"{place}.{name}", tuple(f"{theirs}.{other}" for other in others)
            elif ".resnets." in theirs:
                for name in ("norm1", "conv1", "norm2", "conv2", "conv_shortcut"):
                    yield f"{place}.{name}", (f"{theirs}.{name}",)
            else:
                yield place, (theirs,)
                yield f"{place}.conv", (f"{theirs}.conv",)


def _encoder_order(network: AutoencoderKLConfig) -> Iterator[str]:
    """Modules of diffusers in the order of the encoder's `body`."""
    yield "encoder.conv_in"
    for i in range(len(network.channels)):
        for j in range(network.blocks):
            yield f"encoder.down_blocks.{i}.resnets.{j}"
        if i < len(network.channels) - 1:
            yield f"encoder.down_blocks.{i}.downsamplers.0"
    yield from _middle(network, "encoder")
    yield from _end("encoder")
    if network.latent_conv:
        yield "quant_conv"


def _decoder_order(network: AutoencoderKLConfig) -> Iterator[str]:
    """Modules of diffusers in the order of the decoder's `body`."""
    if network.latent_conv:
        yield "post_quant_conv"
    yield "decoder.conv_in"
    yield from _middle(network, "decoder")
    for i in range(len(network.channels)):
        for j in range(network.blocks + 1):
            yield f"decoder.up_blocks.{i}.resnets.{j}"
        if i < len(network.channels) - 1:
            yield f"decoder.up_blocks.{i}.upsamplers.0"
    yield from _end("decoder")


def _middle(network: AutoencoderKLConfig, part: str) -> Iterator[str]:
    yield f"{part}.mid_block.resnets.0"
    if network.attention:
        yield f"{part}.mid_block.attentions.0"
    yield f"{part}.mid_block.resnets.1"


def _end(part: str) -> Iterator[str]:
    yield f"{part}.conv_norm_out"
    yield "silu"  # it has no weights, but a place in `body`
    yield f"{part}.conv_out"
