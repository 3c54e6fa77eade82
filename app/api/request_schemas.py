"""JSON of request bodies, for the OpenAPI document: the items and the parameters beside them."""

from typing import Annotated, Any, Optional

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.operations.answers import JSONImage, Latents
from app.operations.table import Operation


class ImagesBody(BaseModel):
    """Images, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[
        list[JSONImage],
        Field(min_length=1, description="Base64 or data URLs of pictures, or nested numbers."),
    ]


class LatentsBody(BaseModel):
    """Latents, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    latents: Annotated[Latents, Field(min_length=1, description="N x latent shape.")]


class PathEndsBody(BaseModel):
    """Two images or two latents, with parameters beside them."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[list[JSONImage] | None, Field(min_length=2, max_length=2)] = None
    latents: Annotated[Latents | None, Field(min_length=2, max_length=2)] = None


BODIES: dict[tuple[str, ...], type[BaseModel]] = {
    ("images",): ImagesBody,
    ("latents",): LatentsBody,
    ("images", "latents"): PathEndsBody,
}
"""Bodies by what an operation takes."""


def request_model(operation: Operation) -> type[BaseModel]:
    """The JSON body of an operation: its items, and its parameters, which null leaves out."""
    fields: dict[str, Any] = {
        name: (Optional[field.annotation], field)  # noqa: UP045
        for name, field in operation.parameters.model_fields.items()
    }
    name = f"{operation.answer.__name__.removesuffix('Answer')}Request"
    return create_model(name, __base__=BODIES[operation.takes], **fields)
