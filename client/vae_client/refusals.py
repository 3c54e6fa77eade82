"""What a service's answer says that is no result: a problem, or no words at all."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from vae_client.errors import ABOUT_THE_FILE, Refused

MEMBERS = ("received", "allowed", "limit", "suggestion", "request_id")
"""Members of a problem that an exception has as they are."""


def refusal(response: httpx.Response, labels: Sequence[str] = ()) -> Refused:
    """What the service refused, with files instead of item numbers.

    Args:
        response: An answer with the status of an error.
        labels: Names of the request's items, as far as they have names.
    """
    try:
        problem = response.json()
        str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        words = f"The service answered {response.status_code} {response.reason_phrase}."
        return Refused(words, status=response.status_code)
    return refusal_of({**problem, "status": response.status_code}, labels)


def refusal_of(problem: Mapping[str, Any], labels: Sequence[str] = ()) -> Refused:
    """The exception of a problem, with files instead of item numbers.

    Args:
        problem: Its members.
        labels: Names of the request's items, as far as they have names.
    """
    detail = str(problem["detail"])
    listed = {item["index"]: item["reason"] for item in problem.get("items") or ()}
    items = {index: reason for index, reason in listed.items() if index < len(labels)}
    parameter = problem.get("parameter")
    return Refused(
        _explain(detail, items, labels, parameter),
        status=problem["status"],
        parameter=parameter,
        items=items if labels else listed,
        detail=detail,
        type=str(problem.get("type", "")).rpartition("/")[2],
        **{name: problem.get(name) for name in MEMBERS},
    )


def _explain(
    detail: str, items: Mapping[int, str], labels: Sequence[str], parameter: str | None
) -> str:
    if list(items.values()) == [detail]:
        return f"{labels[next(iter(items))]}: {detail}"
    files = list(dict.fromkeys(label.partition("[")[0] for label in labels))
    if not items and len(files) == 1 and parameter in ABOUT_THE_FILE:
        return f"{files[0]}: {detail}"
    return "\n".join([detail, *(f"  {labels[i]}: {reason}" for i, reason in items.items())])
