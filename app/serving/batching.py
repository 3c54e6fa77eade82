"""Passes of several requests run together: one call of a network for the rows of all.

Only passes of the same function, model and shapes share a call. If it fails, its halves are run by
themselves, so that only the request at fault fails.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch

from models.estimators.steps import Pass

Outcome = tuple[Any, ...] | Exception
"""Results of a pass, or why it failed."""


def run_together(passes: Sequence[Pass]) -> list[Outcome]:
    """Run passes of one key in one call; the outcome of each, in their order."""
    try:
        if len(passes) == 1:
            return [_done(passes[0].run())]
        flat = [one if one.lead == 1 else one.flat() for one in passes]
        rows = tuple(map(Pass.join_rows, zip(*(one.rows for one in flat), strict=True)))
        results = _done(Pass(flat[0].function, flat[0].given, rows).run())
    except Exception as error:  # whatever a network raises belongs to one of the requests
        if len(passes) == 1:
            return [error]
        half = len(passes) // 2
        return [*run_together(passes[:half]), *run_together(passes[half:])]
    return _shared(passes, results)


def _done(results: tuple[Any, ...]) -> tuple[Any, ...]:
    """The results once a GPU has computed them, so that the time of a pass is its own."""
    if any(getattr(result, "is_cuda", False) for result in results):
        torch.cuda.synchronize()
    return results


def _shared(passes: Sequence[Pass], results: tuple[Any, ...]) -> list[Outcome]:
    """Each pass's rows of the results."""
    ends = list(accumulate(one.num_rows for one in passes))
    bounds = list(zip([0, *ends], ends, strict=False))
    columns = [
        [None] * len(bounds) if result is None else [result[start:end] for start, end in bounds]
        for result in results
    ]
    return [
        outcome if one.lead == 1 else tuple(p if p is None else one.unflat(p) for p in outcome)
        for one, outcome in zip(passes, zip(*columns, strict=True), strict=True)
    ]
