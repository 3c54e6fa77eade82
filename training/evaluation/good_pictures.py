"""Scores of good pictures, which the operation `anomaly` ranks others among.

Pictures that were used neither in training nor to choose the weights are split at random, always
the same way: three tenths give the medians, the covariance and the tails, half of them the
p-values, and two tenths, of which nothing is stored, are ranked to count false alarms.
"""

import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from rich.console import Console

from models.bundle.good_pictures import FalseAlarms, GoodPictures
from models.errors import InputError
from models.estimators.anomaly import NUM_SAMPLES, Measured, join_measured, measure
from models.estimators.code_length import CODE_VERSION
from models.estimators.typicality import Centres, Scores, Typical, fit_typical, score
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.data.catalogue import DATASETS
from training.data.datasets import Dataset
from training.data.split import Split
from training.data.subset import choose_subset
from training.progress_bar import ProgressBar

MOST_PICTURES = 2_000
"""Pictures that are scored at most: a thousand p-values, in a minute or two."""
FEWEST_PICTURES = 20
"""With fewer, no p-value is below a tenth."""
ENOUGH_PICTURES = 200
"""Pictures that are scored whatever they take: a hundred p-values, enough for alarms at 5 %."""
MOST_FACTORS = 256
"""Latents with a full covariance; of more, the diagonal is kept."""
ALPHAS = (0.001, 0.01, 0.05)
SEED = 0
_FITTED, _HELD_OUT = 0.3, 0.5
_ROWS = 64
_TRIED_PICTURES = 16

Pictures = Float32[np.ndarray, "_ channel height width"]


def can_score(vae: VAE) -> bool:
    """Whether a model has what the scores need: an encoder, a likelihood and a prior."""
    return vae.has_density and vae.config.posterior.kind not in ("enumerated", "point")


def pictures_of(
    dataset: Dataset, spec: ImageSpec, *, trained_on: str, console: Console | None = None
) -> tuple[Pictures, str]:
    """The pictures of `unseen_splits` as the model takes them, and what they are called.

    Args:
        dataset: The data set.
        spec: The model's image spec.
        trained_on: sha256 of the data that the model was trained on.
        console: Shows progress; nowhere by default.
    """
    splits, name = unseen_splits(dataset, trained_on=trained_on)
    return np.concatenate([one.observations(spec, console=console) for one in splits]), name


def unseen_splits(dataset: Dataset, *, trained_on: str) -> tuple[list[Split], str]:
    """All splits of a data set, and what they are called together; of one that was trained on, the
    test split alone, as of a known one."""
    if dataset.name in DATASETS or dataset.sha256 == trained_on:
        return [dataset.test], "test"
    return [split for split in dataset.splits.values() if len(split)], "all pictures"


def measure_pictures(
    vae: VAE,
    x: Pictures,
    spec: ImageSpec,
    *,
    device: str | torch.device = "cpu",
    console: Console | None = None,
    name: str = "good pictures",
    with_regret: bool = False,
) -> Measured:
    """Measure pictures as `anomaly` does, with `SEED`; picture i is item i.

    Args:
        vae: The model, in eval mode.
        x: Observations.
        spec: The model's image spec.
        device: Where to compute.
        console: Shows progress; nowhere by default.
        name: What the progress says is measured.
        with_regret: Refine the posterior of each picture, for the likelihood regret.
    """
    vae = vae.to(device)
    parts = []
    with ProgressBar(console=console or Console(quiet=True)) as progress:
        task = progress.add_task(f"anomaly scores of {name}", total=len(x))
        for start in range(0, len(x), _ROWS):
            rows = torch.from_numpy(x[start : start + _ROWS]).to(device)
            parts.append(
                measure(
                    vae,
                    rows,
                    levels=spec.levels,
                    seed=SEED,
                    first_item=start,
                    with_regret=with_regret,
                )
            )
            progress.update(task, advance=len(rows))
    return join_measured(parts)


def find_good_pictures(
    vae: VAE,
    x: Pictures,
    spec: ImageSpec,
    *,
    dataset: str,
    split: str,
    device: str | torch.device = "cpu",
    console: Console | None = None,
    with_regret: bool = False,
    most_seconds: float = math.inf,
) -> GoodPictures:
    """Score good pictures, at most `MOST_PICTURES` at random, and fit what ranks others.

    Args:
        vae: The model, in eval mode; `can_score` must hold.
        x: Observations that the model has not seen.
        spec: The model's image spec.
        dataset: Where they are from.
        split: Which of its pictures they are.
        device: Where to compute.
        console: Shows progress; nowhere by default.
        with_regret: Refine the posterior of each picture, for the likelihood regret.
        most_seconds: Time that is worth more than `ENOUGH_PICTURES`: fewer are scored where more
            would take longer, by a trial.

    Raises:
        InputError: Fewer than `FEWEST_PICTURES`.
    """
    if len(x) < FEWEST_PICTURES:
        raise InputError(
            f"{len(x)} good pictures are too few: p-values need at least {FEWEST_PICTURES}, and "
            "some 500 for alarms at 1 %. Add pictures.",
            parameter="pictures",
            received=len(x),
            suggestion=FEWEST_PICTURES,
        )
    x = x[chosen_pictures(len(x))]
    options: dict[str, Any] = {"device": device, "with_regret": with_regret}
    if len(x) > ENOUGH_PICTURES and most_seconds < math.inf:
        start = time.perf_counter()
        measure_pictures(vae, x[:_TRIED_PICTURES], spec, **options)
        each = (time.perf_counter() - start) / _TRIED_PICTURES
        affordable = max(ENOUGH_PICTURES, int(most_seconds / each))
        if affordable < len(x):
            x = x[choose_subset(len(x), affordable, seed=SEED).numpy()]
    measured = measure_pictures(vae, x, spec, console=console, **options)
    return fit_good_pictures(measured, dataset=dataset, split=split)


def chosen_pictures(count: int) -> Int64[np.ndarray, " chosen"]:
    """Which of so many pictures are scored: all, or `MOST_PICTURES` at random, always the same."""
    if count <= MOST_PICTURES:
        return np.arange(count)
    return np.asarray(choose_subset(count, MOST_PICTURES, seed=SEED).numpy())


class Parts(NamedTuple):
    """Positions of good pictures by what they are for, in random order."""

    fitted: Int64[np.ndarray, " fitted"]
    """They give the medians, the covariance and the tails."""
    held_out: Int64[np.ndarray, " held"]
    """They give the p-values."""
    others: Int64[np.ndarray, " other"]
    """Nothing of them is stored."""


def split_pictures(count: int, *, seed: int = SEED) -> Parts:
    """Split so many pictures at random: the same way for the same seed."""
    order = np.random.default_rng(seed).permutation(count)
    first, second = round(_FITTED * count), round((_FITTED + _HELD_OUT) * count)
    return Parts(order[:first], order[first:second], order[second:])


def fit_good_pictures(
    measured: Measured, *, dataset: str, split: str, seed: int = SEED
) -> GoodPictures:
    """Fit what ranks others to measured pictures.

    Args:
        measured: What `measure_pictures` finds of good pictures.
        dataset: Where they are from.
        split: Which of its pictures they are.
        seed: Of the random split; another one only to see how much depends on it.
    """
    parts = split_pictures(len(measured.elbo_nats), seed=seed)
    centres = _centres(_take(measured, parts.fitted))
    scores = score(measured, centres)
    typical = fit_typical(centres, _of(scores, parts.fitted), _of(scores, parts.held_out))
    return GoodPictures(
        dataset=dataset,
        split=split,
        seed=SEED,
        num_samples=NUM_SAMPLES,
        code_version=CODE_VERSION,
        elbo_median_nats=centres.elbo_median_nats,
        sharpness_median=centres.sharpness_median,
        latent_mean=tuple(centres.latent_mean.tolist()),
        latent_factor=tuple(map(tuple, centres.latent_factor.tolist())),
        fitted={kind: tuple(typical.fitted[kind].tolist()) for kind in typical.kinds},
        held_out={kind: tuple(typical.held_out[kind].tolist()) for kind in typical.kinds},
        evidence=tuple(typical.evidence.tolist()),
        false_alarms=_false_alarms(typical, _of(scores, parts.others)),
    )


def _centres(measured: Measured) -> Centres:
    return Centres(
        float(np.median(np.nan_to_num(measured.elbo_nats))),
        float(np.median(measured.sharpness)),
        measured.latents.mean(0),
        _factor(measured.latents),
    )


def _factor(latents: np.ndarray) -> np.ndarray:
    """F with F'F = S^-1, S the covariance shrunk as Ledoit and Wolf (2004) do."""
    if latents.shape[1] > MOST_FACTORS:
        return np.asarray(1 / np.sqrt(latents.var(0) + 1e-12)[None])
    from sklearn.covariance import LedoitWolf  # a second, which few commands need

    precision = LedoitWolf().fit(latents).precision_
    return np.asarray(np.linalg.cholesky(precision).T)


def _take(measured: Measured, chosen: np.ndarray) -> Measured:
    taken: list[Any] = [None if column is None else column[chosen] for column in measured]
    return Measured(*taken)


def _of(scores: Scores, chosen: np.ndarray) -> Scores:
    return {kind: values[chosen] for kind, values in scores.items()}


def _false_alarms(typical: Typical, scores: Scores) -> tuple[FalseAlarms, ...]:
    p_value = typical.rank(scores).p_value
    return tuple(
        FalseAlarms(alpha=alpha, n=len(p_value), count=int((p_value <= alpha).sum()))
        for alpha in ALPHAS
        if alpha >= typical.smallest_p_value
    )
