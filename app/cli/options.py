"""A command's options from declared parameters and settings."""

import inspect
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo


def option(name: str, field: FieldInfo) -> inspect.Parameter:
    """A command's option for a declared parameter or setting; None stands for "not given"."""
    kind = _kind(field)
    flag = f"--{name.replace('_', '-')}"
    text = field.description or ""
    if field.default is not None and field.default != ():
        text = f"{text} Default: {field.default}."
    declared = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=text,
        show_default=False,
        min=_bound(field, "ge") if kind in (int, float) else None,
        max=_bound(field, "le") if kind in (int, float) else None,
    )
    many = kind == list[str]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=[] if many else None,
        annotation=Annotated[kind if many else kind | None, declared],
    )


def _bound(field: FieldInfo, attribute: str) -> float | None:
    bounds = [getattr(b, attribute) for b in field.metadata if hasattr(b, attribute)]
    return bounds[0] if bounds else None


def _kind(field: FieldInfo) -> Any:
    """The type that a command line can read: plain, one of some texts, or a list of texts."""
    annotation: Any = field.annotation
    if type(None) in get_args(annotation):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return Literal[tuple(map(str, get_args(annotation)))]
    return list[str] if get_origin(annotation) is tuple else annotation
