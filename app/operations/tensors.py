"""The tensors that an operation takes and answers, by the types of its declaration.

They are those of the Open Inference Protocol; no array is touched here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from app.operations.answers import ImageNumbers, Images, Latents, LatentSamples
from app.operations.table import Operation

Datatype = Literal["BOOL", "UINT8", "INT64", "FP32", "FP64", "BYTES"]
Axis = int | Literal["image", "latent"]
ANY = -1
"""An axis of any length."""
FORM_PARAMETERS = frozenset({"format", "encoding", "columns"})
"""Parameters that choose a form which tensors do not have."""


@dataclass(frozen=True)
class Tensor:
    """A tensor by its name, its datatype and its axes."""

    name: str
    datatype: Datatype
    axes: tuple[Axis, ...]

    def shape(self, image_shape: tuple[int, ...], latent_shape: tuple[int, ...]) -> list[int]:
        """Its shape for one model; -1 is any length."""
        sides = {"image": image_shape, "latent": latent_shape}
        return [
            n for axis in self.axes for n in ((axis,) if isinstance(axis, int) else sides[axis])
        ]


def input_tensors(operation: Operation) -> list[Tensor]:
    """The tensors that an operation takes: one of them, where there are two."""
    first = operation.exact_items or ANY
    axes: dict[str, Axis] = {"images": "image", "latents": "latent"}
    return [Tensor(kind, "FP32", (first, axes[kind])) for kind in operation.takes]


@cache
def output_tensors(answer: type[BaseModel]) -> tuple[Tensor, ...]:
    """The tensors of an answer: its lists, and what each of its results has."""
    return tuple(_find_outputs(answer))


def _find_outputs(answer: type[BaseModel]) -> Iterator[Tensor]:
    for name, field in answer.model_fields.items():
        kind = _bare(field.annotation)
        if name == "results":
            (result,) = get_args(kind)
            for column, of_one in result.model_fields.items():
                yield from _as_tensor(column, list[of_one.annotation])  # type: ignore[name-defined]
        elif get_origin(kind) is list or kind in _PICTURES_AND_LATENTS:
            yield from _as_tensor(name, kind)


def _as_tensor(name: str, kind: Any) -> Iterator[Tensor]:
    """The tensor of a field, which is none where the field lists objects."""
    if kind in _PICTURES_AND_LATENTS:
        yield Tensor(name, "FP32", _PICTURES_AND_LATENTS[kind])
        return
    depth, entry = 0, kind
    while get_origin(_bare(entry)) is list:
        (entry,) = get_args(_bare(entry))
        depth += 1
    leaf = _bare(entry)
    datatype = _datatype(leaf, has_null=NoneType in get_args(entry))
    if get_origin(leaf) is Union:  # a picture, as text or as numbers
        yield Tensor(name, "FP32", (ANY, ANY, ANY, ANY))
    elif datatype is not None:  # texts of one item are joined
        yield Tensor(name, datatype, (ANY,) * (1 if datatype == "BYTES" else depth))


def _datatype(leaf: Any, *, has_null: bool) -> Datatype | None:
    """The datatype of a leaf; a number that may be null is NaN there, so that it is a float."""
    if get_origin(leaf) is Literal or leaf is str:
        return "BYTES"
    if leaf is int and has_null:
        return "FP64"
    datatypes: dict[Any, Datatype] = {bool: "BOOL", int: "INT64", float: "FP64"}
    return datatypes.get(leaf)


def _bare(kind: Any) -> Any:
    """A type without its notes and without null."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        return _bare(others[0]) if len(others) == 1 else Union[tuple(others)]  # noqa: UP007
    return kind


_PICTURES_AND_LATENTS: dict[Any, tuple[Axis, ...]] = {
    _bare(Latents): (ANY, "latent"),
    _bare(LatentSamples): (ANY, ANY, "latent"),
    _bare(Images): (ANY, "image"),
    _bare(ImageNumbers): (ANY, "image"),
}
