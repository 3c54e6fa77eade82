"""Size of a request in items, samples and cost units, and the parts in which it is computed."""

from dataclasses import dataclass
from typing import Any

from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.parameters import LogLikelihoodParameters
from app.serving.served_model import ServedModel
from models.estimators.annealed_chains import Annealing
from models.estimators.anomaly import NUM_SAMPLES
from models.estimators.labels import GUESS_NUM_SAMPLES
from models.estimators.refine import refine_noise, refine_rows
from models.estimators.tolerance import Goal, tolerant_rows
from models.scores.kinds import AnnealingStart
from models.vae.networks import MIN_ROWS

GROUP_ITEMS = 64
"""Largest number of items in a network at once, and so in a chunk of a cheap operation."""
GROUP_NOISE = 2**23
"""Largest amount of noise of refinements at once, in numbers: 64 MiB."""
STREAM_ITEMS = 8
"""The same where running estimates are told: each takes some milliseconds, and other requests wait
for all of a report."""
GROUP_DRAWS = 16384
"""Largest number of latents drawn at once, where they are the answer."""
CHECK_SAMPLES = 10
"""Samples of each of the two ELBOs by which `check` compares a picture with its negative."""
ROWS_PER_GRADIENT = 4
"""Decodings in float32 that a gradient of log p(x, z) in float64 counts as: one of digits took as
long as 3.4, and one of mnist, which is convolutional, as 7.2, on a busy processor with AVX2."""
CHUNK_COST = 4096.0
"""Cost units of one chunk, some tens of milliseconds."""


@dataclass(frozen=True)
class Work:
    """Size of a request."""

    items: int
    samples: int
    """Samples for each item."""
    cost: float
    """Millions of multiply-accumulates of the decoder."""
    numbers: int
    """Largest number of numbers in the answer."""


def measure(request: ComputeRequest[Any]) -> Work:
    """The size of a request, before anything of it is computed."""
    served, given = request.served, vars(request.parameters)
    latents, pixels = served.vae.num_latents, served.vae.config.num_dimensions
    items = given.get("n") or given.get("steps") or request.inputs.num_items
    samples = given.get("num_samples", 1)
    numbers = {"encode": latents * (2 + samples), "classify": len(served.classes)}
    cost = items * (_rows_per_item(request) + _rows_of_check(request)) * served.cost
    name = request.operation.name
    return Work(items, samples, cost, items * numbers.get(name, latents + pixels))


def _rows_per_item(request: ComputeRequest[Any]) -> int:
    """Decodings for each item: draws, times labels or components that are tried in turn."""
    operation, served = request.operation, request.served
    if vars(request.parameters).get("estimator") == "ais":
        return _rows_of_chains(request)
    drawn = operation.per_item and request.draws
    rows = num_draws(request) if drawn else 1
    tried, goal = branches(request), goal_of(request)
    if goal is not None:
        rows = tolerant_rows(served.vae, goal)
    if served.vae.config.posterior.kind == "enumerated":
        return rows + tried
    if served.good_pictures_are_refined and operation.alarms:
        rows = refine_rows(served.vae) + 2 * rows
    if goal is None and vars(request.parameters).get("inference") == "refined":
        # The encoder's ELBO takes as many draws as the refined one.
        rows = refine_rows(served.vae) + (2 * rows if operation.name == "elbo" else rows)
    if tried > 1 and drawn:
        rows *= tried
    if tried > 1 and operation.guesses and "label_posterior" in served.lacks:
        rows += GUESS_NUM_SAMPLES * tried
    return rows


def goal_of(request: ComputeRequest[Any]) -> Goal | None:
    """The tolerance that a log-likelihood is asked for, and its limit."""
    asked = vars(request.parameters)
    if asked.get("tolerance_nats") is None:
        return None
    return Goal(asked["tolerance_nats"], asked["num_samples"], asked["inference"])


def annealing_of(parameters: LogLikelihoodParameters) -> Annealing:
    """The chains that a request asks for.

    Raises:
        InvalidParameter: Their number is no multiple of 16.
    """
    chains = parameters.ais_chains
    if chains % MIN_ROWS:
        fixed = MIN_ROWS * round(chains / MIN_ROWS)
        raise InvalidParameter(
            f"ais_chains={chains} is no multiple of {MIN_ROWS}, with which an image's result does "
            f"not depend on its neighbours. Use ais_chains={fixed}.",
            parameter="ais_chains",
            received=chains,
            suggestion=fixed,
        )
    start: AnnealingStart = "refined" if parameters.inference == "refined" else "posterior"
    return Annealing(start, num_steps=parameters.ais_steps, num_chains=chains)


def _rows_of_chains(request: ComputeRequest[LogLikelihoodParameters]) -> int:
    """Decodings for each item of annealed chains, and of the fit that they start from."""
    settings = annealing_of(request.parameters)
    fit = refine_rows(request.served.vae) if settings.start == "refined" else 0
    return ROWS_PER_GRADIENT * settings.gradients + fit


def num_draws(request: ComputeRequest[Any]) -> int:
    """Draws for each item: those that are asked for, or those of every anomaly score."""
    return int(vars(request.parameters).get("num_samples", NUM_SAMPLES))


def _rows_of_check(request: ComputeRequest[Any]) -> int:
    """Decodings for each item of the two ELBOs of a check."""
    if not is_checked(request):
        return 0
    tried, rows = branches(request), CHECK_SAMPLES
    if request.served.vae.config.posterior.kind == "enumerated":
        return 2 * (rows + tried)
    if tried > 1 and "label_posterior" in request.served.lacks:
        rows += GUESS_NUM_SAMPLES
    return 2 * rows * tried


def is_checked(request: ComputeRequest[Any]) -> bool:
    """Whether the request's pictures are scored as sent and with black and white exchanged."""
    checks = request.inputs.exchanged is not None
    return checks and {"posterior", "likelihood", "prior"} <= request.served.capabilities


def branches(request: ComputeRequest[Any]) -> int:
    """Number of labels or components that are tried for each image."""
    vae = request.served.vae
    if request.inputs.x is None:
        return 1
    if vae.config.posterior.kind == "enumerated":
        return vae.num_latents
    return 1 if request.label is not None else max(1, vae.num_labels)


def groups(
    request: ComputeRequest[Any], *, num_items: int | None = None, draws_per_item: int = 0
) -> list[slice]:
    """Slices of the items, each as large as may go through a network at once.

    Args:
        request: The request.
        num_items: Number of items; that of the inputs if None.
        draws_per_item: Latents to draw for each item.
    """
    num_items = request.inputs.num_items if num_items is None else num_items
    if num_items == 1:
        return [slice(0, 1)]
    most = GROUP_ITEMS if request.report is None else STREAM_ITEMS
    rows = most // branches(request)
    if goal_of(request) or vars(request.parameters).get("inference") == "refined":
        noise = branches(request) * refine_noise(request.served.vae)
        rows = min(rows, GROUP_NOISE // noise)
    size = max(1, min(rows, GROUP_DRAWS // (draws_per_item or 1)))
    starts = range(0, num_items, size)
    return [slice(start, min(start + size, num_items)) for start in starts]


def chunk_rows(served: ServedModel) -> int:
    """Decoder rows of one chunk."""
    return max(16, min(512, int(CHUNK_COST / served.cost)))
