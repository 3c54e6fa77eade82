"""Answers as arrays by name: one answer of the service, or those of a split request together."""

import io
import zipfile
from collections.abc import Mapping, Sequence

import httpx
import numpy as np

from vae_client.errors import CallError


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The fields of an answer in npz, by their names."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def read_answer(response: httpx.Response) -> dict[str, np.ndarray]:
    """The fields of an operation's answer.

    Raises:
        CallError: It is none: something else answers at the URL.
    """
    try:
        return read_arrays(response.content)
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise no_answer(response) from error


def no_answer(response: httpx.Response) -> CallError:
    """The error of an answer that no vae-serve gives."""
    return CallError(
        f"{response.url} does not answer as vae-serve does. Check the URL: it is the one "
        "that `vae serve` listens on, without /v1."
    )


def join(
    answers: Sequence[Mapping[str, np.ndarray]], *, shared: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Join the fields of several answers along the items; `shared` ones are the first answer's."""
    return {
        name: first
        if first.ndim == 0 or name in shared
        else np.concatenate([answer[name] for answer in answers])
        for name, first in answers[0].items()
    }


def num_items(fields: Mapping[str, np.ndarray], *, shared: Sequence[str] = ()) -> int:
    """Number of items that an answer is of: a path has more than the two ends that came in."""
    return max(len(value) for name, value in fields.items() if value.ndim and name not in shared)
