"""Limits of one request, checked before anything is computed; a message says what would fit."""

from dataclasses import replace
from typing import Any

from app.compute.cost import Work, measure
from app.compute.request import ComputeRequest
from app.operations.parameters import Parameters
from app.operations.table import Operation
from app.settings import Settings
from models.errors import PayloadTooLarge


def check_item_count(count: int, settings: Settings, *, noun: str = "images") -> None:
    """Refuse more items in a body than a request may have.

    Raises:
        PayloadTooLarge: Says how many to send at once.
    """
    limit = settings.max_items
    if count > limit:
        raise PayloadTooLarge(
            f"{count:,} {noun} are over this server's limit of {limit:,} (VAE_MAX_ITEMS). Send "
            f"{limit} per request, with the same seed and first_item=0, {limit}, ...; the result "
            "is identical.",
            parameter=noun,
            received=count,
            limit=limit,
        )


def check_limits(settings: Settings, request: ComputeRequest[Any]) -> Work:
    """Refuse a request that is too large; else return its work.

    Raises:
        PayloadTooLarge: Names the limit's setting, and how much of the request fits in it.
    """
    work = measure(request)
    _check_items(settings, request, work)
    _check_samples(settings, request.parameters)
    for attribute, limit, verb, setting in (
        ("numbers", settings.max_answer_numbers, "make", "VAE_MAX_ANSWER_NUMBERS"),
        ("cost", settings.max_request_cost, "cost", "VAE_MAX_REQUEST_COST"),
    ):
        size = getattr(work, attribute)
        if size > limit:
            unit = "units" if attribute == "cost" else attribute
            fits = _what_fits(request, work, attribute, limit)
            names = [name for name in fits if name in type(request.parameters).model_fields]
            parameter = names[0] if names else None
            raise PayloadTooLarge(
                f"{_amount(request, work, verb)} {short(size, limit)} {unit}; the "
                f"limit is {short(limit, size)} ({setting}). "
                f"{_fix(request.operation, fits, setting)}",
                parameter=parameter,
                received=rounded(size, limit),
                limit=int(limit) if float(limit).is_integer() else limit,
                suggestion=fits[parameter] if parameter else None,
            )
    return work


def _check_samples(settings: Settings, parameters: Parameters) -> None:
    names = ("ais_steps", "ais_chains") if _is_annealed(parameters) else ("num_samples",)
    for name in names:
        samples, limit = vars(parameters).get(name, 0), getattr(settings, f"max_{name}")
        if samples > limit:
            raise PayloadTooLarge(
                f"{name}={samples} is over this server's limit of {limit} "
                f"(VAE_MAX_{name.upper()}). Send {name}={limit}.",
                parameter=name,
                received=samples,
                limit=limit,
                suggestion=limit,
            )


def _check_items(settings: Settings, request: ComputeRequest[Any], work: Work) -> None:
    name = _counting_parameter(request.parameters)
    if name is None:
        check_item_count(work.items, settings, noun=_noun(request.operation))
        return
    limit = settings.max_items
    if work.items > limit:
        repeatable = "first_item" in type(request.parameters).model_fields
        fix = (
            f"Ask for {name}={limit} with the same seed and first_item=0, {limit}, ...; the result "
            "is identical."
            if repeatable
            else f"Ask for {name}={limit}."
        )
        raise PayloadTooLarge(
            f"{name}={work.items} is over this server's limit of {limit} (VAE_MAX_ITEMS). {fix}",
            parameter=name,
            received=work.items,
            limit=limit,
            suggestion=limit,
        )


def _counting_parameter(parameters: Parameters) -> str | None:
    """The parameter that says how many items are answered, where the body does not."""
    return next((name for name in ("n", "steps") if name in vars(parameters)), None)


def _noun(operation: Operation) -> str:
    return operation.takes[0] if operation.takes else "images"


def _amount(request: ComputeRequest[Any], work: Work, verb: str) -> str:
    """The request's size and what it does: "24 images x 5,000 samples cost"."""
    samples = getattr(request.parameters, "num_samples", 0)
    times = f" x {samples:,} samples" if samples else ""
    if _is_annealed(request.parameters):
        times = f" x {request.parameters.ais_steps:,} annealing steps"
    if name := _counting_parameter(request.parameters):
        return f"{name}={work.items}{times} {verb}s"
    noun = _noun(request.operation)
    noun = noun if work.items > 1 else noun[:-1]
    return f"{work.items:,} {noun}{times} {verb}{'' if work.items > 1 or times else 's'}"


def _what_fits(
    request: ComputeRequest[Any], work: Work, attribute: str, limit: float
) -> dict[str, int]:
    """Items, and samples for each, that would each by itself bring the request under a limit."""
    counted = _counting_parameter(request.parameters)
    fits = {counted or _noun(request.operation): int(work.items * limit / getattr(work, attribute))}
    if _is_annealed(request.parameters):
        fits["ais_steps"] = int(request.parameters.ais_steps * limit / getattr(work, attribute))
    elif getattr(request.parameters, "num_samples", 0) > 1:
        fits["num_samples"] = _fitting_samples(request, attribute, limit)
    return {
        name: value for name, value in fits.items() if value >= (2 if name.endswith("steps") else 1)
    }


def _is_annealed(parameters: Parameters) -> bool:
    return getattr(parameters, "estimator", None) == "ais"


def _fitting_samples(request: ComputeRequest[Any], attribute: str, limit: float) -> int:
    """The largest num_samples within a limit; a request's size grows along a line with it."""

    def size(samples: int) -> float:
        parameters = request.parameters.model_copy(update={"num_samples": samples})
        return float(getattr(measure(replace(request, parameters=parameters)), attribute))

    slope = size(2) - size(1)
    samples = int((limit - size(1)) / slope) + 1 if slope > 0 else 0
    return samples if samples >= 1 and size(samples) <= limit else samples - 1


def _fix(operation: Operation, fits: dict[str, int], setting: str) -> str:
    if not fits:
        return f"Choose a smaller model, or ask the operator to raise {setting}."
    noun = _noun(operation)
    phrases = [
        f"{value} {noun if value > 1 else noun[:-1]} per request"
        if name == noun
        else f"{name}={value}"
        for name, value in fits.items()
    ]
    return f"Send {', or '.join(phrases)}."


def short(value: float, other: float) -> str:
    """A large number in three digits ("1.19 M"), or in all where these would equal another's."""
    text = _short(value)
    return text if text != _short(other) else f"{value:,.10g}"


def rounded(value: float, limit: float) -> float:
    """A size in six digits, or in all where these would not be over the limit."""
    short_value = float(f"{value:.6g}")
    if short_value <= limit:
        return value
    return int(short_value) if short_value.is_integer() else short_value


def _short(value: float) -> str:
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{float(f'{value:.3g}'):,.10g}"
