"""Options of a command from declared parameters and settings, and what a refused value is told."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from app.api.faults import explain
from app.operations.parameters import plain_integer, plain_number

Url = Annotated[
    str | None,
    typer.Option(
        help="URL of a running service, such as http://localhost:8000; absent: in this process.",
        envvar="VAE_URL",
    ),
]
ApiKey = Annotated[str | None, typer.Option(help="API key of the service.", envvar="VAE_API_KEY")]
ModelRepository = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the bundles, as <model>/<version>/; absent: VAE_MODEL_REPOSITORY, or the "
        "shipped models. Not with --url."
    ),
]

_METAVARS = {int: "INTEGER", float: "FLOAT"}
_PLAIN = {int: BeforeValidator(plain_integer), float: BeforeValidator(plain_number)}


def option(name: str, field: FieldInfo, *, default: Any = None) -> inspect.Parameter:
    """Build the option of a declared parameter or setting; its default None means not given.

    Args:
        name: The parameter's.
        field: Its declaration.
        default: The default that the help names; the declared one if None.
    """
    kind = _kind(field)
    flag = f"--{(field.alias or name).replace('_', '-')}"
    text = field.description or ""
    default = field.default if default is None else default
    if default is not None and default != ():
        text = f"{text} Default: {default}."
    declared: dict[str, Any] = {"help": text, "show_default": False}
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if kind in _METAVARS or choices:
        declared["parser"] = _parser(flag, field)
        declared["metavar"] = f"[{'|'.join(choices)}]" if choices else _METAVARS[kind]
    if choices:
        declared["autocompletion"] = lambda: list(choices)
        kind = str
    many = kind == list[str]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=[] if many else None,
        annotation=Annotated[
            kind if many else kind | None,
            typer.Option(f"{flag}/--no-{flag[2:]}" if kind is bool else flag, **declared),
        ],
    )


def _parser(flag: str, field: FieldInfo) -> Callable[[str], Any]:
    """Parse an option's text as its declaration says; a refusal names what is allowed and a fix."""
    annotation: Any = field.annotation
    plain = [_PLAIN[kind] for kind in [_kind(field)] if kind in _PLAIN]
    for constraint in (*field.metadata, *plain):
        annotation = Annotated[annotation, constraint]

    def parse(text: str) -> Any:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        try:
            return adapter.validate_python(text)
        except ValidationError as error:
            declared = {**adapter.json_schema(), "default": field.default}
            fault = explain(flag, text, declared, assign="{} {}")
            raise typer.BadParameter(f"{fault.message} {fault.fix}") from error

    return parse


def _kind(field: FieldInfo) -> Any:
    """The type that a command line reads: plain, one of some words, or a list of words."""
    annotation: Any = field.annotation
    if type(None) in get_args(annotation):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return Literal[tuple(map(str, get_args(annotation)))]
    return list[str] if get_origin(annotation) is tuple else annotation
