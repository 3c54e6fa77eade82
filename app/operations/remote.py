"""Parameters of a diffusion pipeline's remote VAE, as `diffusers.utils.remote_utils` sends them.

Pydantic models only, as in `parameters.py`.
"""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from app.operations.parameters import Labelled
from app.operations.table import OPERATIONS, Operation

MAX_AXES = 8

Shape = Annotated[
    Annotated[tuple[int, ...], Field(min_length=1, max_length=MAX_AXES)] | None,
    Field(description="Sides of the tensor in the body, one after the other: shape=1&shape=4."),
]
FloatType = Literal["float16", "float32", "bfloat16"]
SentType = Annotated[
    FloatType,
    Field(description="Type of the tensor in the body, and of the one in the answer."),
]


class RemoteDecodeParameters(Labelled):
    """Parameters of `remote/decode`."""

    shape: Shape = None
    dtype: SentType = "float32"
    scaling_factor: Annotated[
        float | None,
        Field(
            gt=0, description="The latents are divided by this; a diffusion model has scaled them."
        ),
    ] = None
    shift_factor: Annotated[
        float | None, Field(description="Added to the latents after they were divided.")
    ] = None
    do_scaling: Annotated[
        bool,
        Field(
            description="Undo the scaling by the bundle's own `latent_scaling`, where it has one; "
            "the two factors come before it."
        ),
    ] = False
    output_type: Annotated[
        Literal["pil", "pt"],
        Field(description="Answer with a picture (`pil`) or with a tensor (`pt`)."),
    ] = "pil"
    image_format: Annotated[
        Literal["png", "jpg"], Field(description="Format of the picture, with `output_type=pil`.")
    ] = "jpg"
    partial_postprocess: Annotated[
        bool,
        Field(
            description="With `output_type=pt`: bytes in 0..255, channels last, instead of numbers "
            "in -1..1, channels first."
        ),
    ] = False
    height: Annotated[
        int | None,
        Field(ge=1, description="Height of the picture, which packed latents do not say."),
    ] = None
    width: Annotated[int | None, Field(ge=1, description="Width of the picture, likewise.")] = None


class RemoteEncodeParameters(Labelled):
    """Parameters of `remote/encode`."""

    shape: Shape = None
    dtype: SentType = "float32"
    scaling_factor: Annotated[
        float | None,
        Field(gt=0, description="The latents are multiplied by this, for a diffusion model."),
    ] = None
    shift_factor: Annotated[
        float | None, Field(description="Taken from the latents before they are multiplied.")
    ] = None


REMOTE_OPERATIONS: dict[str, Operation] = {
    name: replace(OPERATIONS[name], name=f"remote/{name}", parameters=parameters)
    for name, parameters in (
        ("decode", RemoteDecodeParameters),
        ("encode", RemoteEncodeParameters),
    )
}
"""The operations behind the two paths, with the parameters that their queries have."""
