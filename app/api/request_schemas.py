"""JSON of request bodies, for the OpenAPI document: the items, beside which parameters may stand.

The document declares the parameters in the query alone, so that no client sends their defaults
twice; the service reads members of the same names, too.
"""

from typing import Annotated

from pydantic import BaseModel, Field

from app.operations.answers import JSONImage, Latents


class ImagesBody(BaseModel):
    """Images; the query's parameters may stand beside them."""

    images: Annotated[
        list[JSONImage],
        Field(min_length=1, description="Base64 or data URLs of pictures, or nested numbers."),
    ]


class LatentsBody(BaseModel):
    """Latents; the query's parameters may stand beside them."""

    latents: Annotated[Latents, Field(min_length=1, description="N x latent shape.")]


class PathEndsBody(BaseModel):
    """Two images or two latents; the query's parameters may stand beside them."""

    images: Annotated[list[JSONImage] | None, Field(min_length=2, max_length=2)] = None
    latents: Annotated[Latents | None, Field(min_length=2, max_length=2)] = None


BODIES: dict[tuple[str, ...], type[BaseModel]] = {
    ("images",): ImagesBody,
    ("latents",): LatentsBody,
    ("images", "latents"): PathEndsBody,
}
"""Bodies by what an operation takes."""
