"""Names of models in the Open Inference Protocol: `<model>`, and `<model>.<operation>`."""

from collections.abc import Mapping

from app.api.routing import MODEL_PATHS, OPEN_INFERENCE, find_model
from app.errors import UnknownModel
from app.operations.table import OPERATIONS, Operation
from app.serving.capabilities import offered_operations
from app.serving.registry import Registry
from app.serving.served_model import ServedModel
from models.errors import closest

INFERENCE_PATHS = {
    scope: MODEL_PATHS[scope].replace(MODEL_PATHS["default"], OPEN_INFERENCE, 1)
    for scope in ("model", "version")
}
"""Prefixes of a model's paths: its highest version, one version."""


def split_name(name: str) -> tuple[str, Operation | None]:
    """The model of a name, and the operation; None where it names none."""
    model, _, operation = name.rpartition(".")
    return (model, OPERATIONS[operation]) if operation in OPERATIONS else (name, None)


def inference_names(served: ServedModel) -> list[str]:
    """The names of a model's operations."""
    return [f"{served.name}.{operation.name}" for operation in offered_operations(served.lacks)]


def find_served(
    registry: Registry, path_params: Mapping[str, str]
) -> tuple[ServedModel, Operation | None]:
    """The model of a path, and the operation, if it names one.

    Raises:
        ModelNotReady: The models are still loading.
        InvalidParameter: The version is no version number.
        UnknownModel: There is no such model, version or operation.
        UnsupportedOperation: The model does not have the operation.
    """
    name, operation = split_name(path_params["model"])
    model, dot, rest = name.partition(".")
    params = {**path_params, "model": model}
    served = find_model(registry, params, "infer")
    if dot:
        raise _no_operation(served, name, rest)
    if operation is not None:
        registry.check_needs(served, operation, operation.parameters())
    return served, operation


def find_name(registry: Registry, path_params: Mapping[str, str]) -> tuple[str, Operation]:
    """The model and the operation of a path.

    Raises:
        UnknownModel: It names no operation, or what `find_served` refuses.
    """
    served, operation = find_served(registry, path_params)
    if operation is None:
        raise _no_operation(served, served.name, "")
    return served.name, operation


def _no_operation(served: ServedModel, name: str, operation: str) -> UnknownModel:
    names = inference_names(served)
    meant = closest(operation, OPERATIONS)
    meant = f"{served.name}.{meant}" if meant else None
    fix = f"Did you mean {meant}?" if meant in names else f"Name one: {', '.join(names)}."
    return UnknownModel(
        f"{name[:60]} names no operation. {fix}",
        parameter="model",
        received=name[:60],
        allowed=names,
        suggestion=meant if meant in names else names[0],
    )
