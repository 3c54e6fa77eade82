"""Anomaly: how well alarms tell odd pictures from good ones, beside simple detectors.

Each shipped model whose data set is at hand is calibrated with its test pictures as
`vae-lab calibrate` does it. Those that stand behind no median and no tail are the good ones; odd
ones are of other data sets, or good ones made odd. The detectors are fitted to training pictures,
and see what the model sees: black and white pixels where it binarises. False alarms are counted
over ten random splits of the same pictures. Not measured: the service, pictures of other sizes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float32
from rich.table import Table
from scipy.stats import ks_2samp

from app.settings import PRETRAINED
from benchmarks.corruptions import CORRUPTIONS
from benchmarks.simple_detectors import fit_detectors
from benchmarks.timing import table
from models.bundle.loading import Bundle, load_bundle
from models.estimators.anomaly import Measured
from models.estimators.reconstruction import latent_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.estimators.typicality import Scores, Typical, score
from models.images import ReadOptions, read_images
from models.scores.kinds import AnomalyKind
from training.data.datasets import load
from training.data.split import Split
from training.data.subset import choose_subset
from training.errors import DatasetError
from training.evaluation.good_pictures import fit_good_pictures, measure_pictures, split_pictures
from training.evaluation.odd_pictures import (
    ALL,
    Values,
    all_scores,
    auroc,
    detect,
    share_found,
)
from training.evaluation.proportion import wilson_interval

BUNDLES = PRETRAINED
TRAINING_PICTURES = 5_000
GOOD_PICTURES = 1_000
ODD_PICTURES = 200
SPLITS = 10
RATES = (0.01, 0.05)
_ROWS = 500
_CLOSE = 0.0005
"""Difference of AUROC that three decimals do not show."""

Pictures = Float32[np.ndarray, "batch channel height width"]


@dataclass(frozen=True)
class Case:
    """A model, and what is odd to it."""

    model: str
    odd: tuple[str, ...] = ()
    """Other data sets."""
    label: int | None = None
    """The only good class, which every other class is odd beside; None for all."""
    with_regret: bool = False
    """Whether the likelihood regret is measured too, which the shipped models do without."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        one_class = "" if self.label is None else ", one class"
        return f"{self.model}{one_class}{', with the regret' if self.with_regret else ''}"


_GREY = ("omniglot", "pneumoniamnist")
CASES = (
    Case("fashion-mnist", ("mnist", *_GREY)),
    Case("mnist", ("fashion-mnist", *_GREY)),
    Case("mnist-labelled", ("fashion-mnist", *_GREY)),
    Case("digits", ("fashion-mnist", *_GREY)),
    Case("digits", ("fashion-mnist", *_GREY), with_regret=True),
    Case("bccd", ("cifar10-5000", "pneumoniamnist")),
    Case("bccd", label=0),
)


class Judge:
    """All scores of pictures by one model and by simple detectors, calibrated and fitted."""

    def __init__(
        self, bundle: Bundle, x: Pictures, training: Pictures, *, with_regret: bool = False
    ) -> None:
        """Measure good pictures, and fit the detectors.

        Args:
            bundle: The model.
            x: Good pictures that it has not seen.
            training: Some that it was trained on.
            with_regret: Measure the likelihood regret too.
        """
        self.bundle, self.x, self._with_regret = bundle, x, with_regret
        self.good = self._measure(x)
        self.parts = split_pictures(len(x))
        self.typical, _ = self.fit(seed=0)
        self._detectors = fit_detectors(self._pixels(training), self._latents(training))

    def fit(self, *, seed: int) -> tuple[Typical, Scores]:
        """What ranks others, by another random split, and the scores of all good pictures."""
        stored = fit_good_pictures(self.good, dataset="", split="test", seed=seed)
        typical = Typical.of(stored)
        return typical, score(self.good, typical.centres)

    def scores(self, x: Pictures, measured: Measured | None = None) -> Mapping[str, Values]:
        """Scores of pictures, the model's first."""
        measured = measured or self._measure(x)
        ours = all_scores(self.typical, score(measured, self.typical.centres))
        rows = self._pixels(x), measured.latents.astype(np.float32)
        return {**ours, **{name: find(*rows) for name, find in self._detectors.items()}}

    def good_scores(self) -> Mapping[str, Values]:
        """Those of the good pictures that are behind no median and no tail."""
        chosen = np.concatenate([self.parts.held_out, self.parts.others])
        return {name: found[chosen] for name, found in self.scores(self.x, self.good).items()}

    def corrupted(self) -> dict[str, Pictures]:
        """Some of these pictures, made odd; a blur that changes no level is left out."""
        x = self.x[self.parts.others[:ODD_PICTURES]]
        unit = (x / self.bundle.vae.unit_scale).astype(np.float64)
        options = ReadOptions(layout="NCHW", pixel_max=1)
        found = {}
        for name, corrupt in CORRUPTIONS.items():
            odd = np.ascontiguousarray(corrupt(unit, np.random.default_rng(0)))
            found[name] = read_images(odd, self.bundle.config.image, options=options).x
        return {name: odd for name, odd in found.items() if not np.array_equal(odd, x)}

    def _measure(self, x: Pictures) -> Measured:
        spec, with_regret = self.bundle.config.image, self._with_regret
        return measure_pictures(self.bundle.vae, x, spec, with_regret=with_regret)

    def _pixels(self, x: Pictures) -> np.ndarray:
        return (x / self.bundle.vae.unit_scale).reshape(len(x), -1).astype(np.float32)

    def _latents(self, x: Pictures) -> np.ndarray:
        find = partial(latent_steps, self.bundle.vae, chunk_rows=CHUNK_ROWS)
        parts = torch.from_numpy(x).split(_ROWS)
        return np.concatenate([run_steps(find(part))[0].flatten(1).numpy() for part in parts])


@dataclass(frozen=True)
class Pair:
    """How well each score tells one odd set from good pictures, by the score's name."""

    model: str
    odd: str
    num_good: int
    num_odd: int
    auroc: Mapping[str, float]
    found: Mapping[str, float]
    """Share of odd pictures found where 1 % of the good ones are false alarms."""
    interval: tuple[float, float]
    """Of the AUROC of all together, 95 %."""

    @property
    def best_detector(self) -> str:
        """The simple detector of the largest AUROC."""
        simple = set(self.auroc) - {ALL, *get_args(AnomalyKind)}
        return max(sorted(simple), key=self.auroc.__getitem__)

    @property
    def is_as_good(self) -> bool:
        """Whether all together is at least as good as that."""
        return self.auroc[ALL] >= self.auroc[self.best_detector] - _CLOSE


def compare(
    model: str, odd: str, good_scores: Mapping[str, Values], odd_scores: Mapping[str, Values]
) -> Pair:
    """Compare the scores of good pictures and of odd ones."""
    share = share_found(RATES[0])
    return Pair(
        model,
        odd,
        num_good=len(good_scores[ALL]),
        num_odd=len(odd_scores[ALL]),
        auroc={name: auroc(good, odd_scores[name]) for name, good in good_scores.items()},
        found={name: share(good, odd_scores[name]) for name, good in good_scores.items()},
        interval=detect(odd, ALL, good_scores[ALL], odd_scores[ALL]).auroc_interval,
    )


def run(*, quick: bool, threads: int) -> Iterator[Table]:
    """Judge the odd pictures of one model after the other."""
    torch.set_num_threads(threads)
    pairs: list[Pair] = []
    alarms = _alarm_table()
    for case in CASES:
        try:
            judge, odd = _load(case, pictures=100 if quick else GOOD_PICTURES)
        except DatasetError as fault:
            alarms.add_row(case.name, f"left out: {fault}")
            continue
        good = judge.good_scores()
        found = [compare(case.name, kind, good, judge.scores(x)) for kind, x in odd.items()]
        yield _pair_table(found, num_fitted=len(judge.parts.fitted))
        pairs += [] if case.with_regret else found  # the same pairs as without
        for cells in _alarm_rows(judge):
            alarms.add_row(case.name, *cells)
    if pairs:
        yield _comparison(pairs)
    yield alarms


def _load(case: Case, *, pictures: int) -> tuple[Judge, dict[str, Pictures]]:
    """A judge, and the odd pictures by their names.

    Raises:
        DatasetError: A data set is not at hand.
    """
    bundle = load_bundle(max((BUNDLES / case.model).glob("[0-9]*"), key=_version))
    spec = bundle.config.image
    dataset = load(bundle.config.provenance.dataset)
    split = dataset.test if case.label is None else _of(dataset.test, case.label)
    training = dataset.train if case.label is None else _of(dataset.train, case.label)
    judge = Judge(
        bundle,
        _some(split, pictures).observations(spec),
        _some(training, min(TRAINING_PICTURES, 10 * pictures)).observations(spec),
        with_regret=case.with_regret,
    )
    count = min(ODD_PICTURES, pictures)
    odd = {name: _some(load(name).test, count).observations(spec) for name in case.odd}
    if case.label is None:
        return judge, odd | judge.corrupted()
    labels = sorted(set(range(len(dataset.class_names))) - {case.label})
    return judge, {
        dataset.class_names[label]: _some(_of(dataset.test, label), count).observations(spec)
        for label in labels
    }


def _version(path: Path) -> int:
    return int(path.name)


def _of(split: Split, label: int) -> Split:
    return split.take(np.flatnonzero(np.equal(split.labels, label)))  # type: ignore[arg-type]


def _some(split: Split, count: int) -> Split:
    """At most so many pictures at random, always the same."""
    if len(split) <= count:
        return split
    return split.take(choose_subset(len(split), count, seed=0).numpy())


def _pair_table(pairs: Sequence[Pair], *, num_fitted: int) -> Table:
    made = table(
        f"Anomaly, {pairs[0].model}: {pairs[0].num_good:,} good pictures",
        "odd pictures",
        *(kind.replace("_", " ") for kind in pairs[0].auroc),
        caption="AUROC, and the share found, %, where 1 % of the good ones are false alarms. In "
        f"parentheses: an interval of 95 %. Fitted to {num_fitted:,} others.",
    )
    for pair in pairs:
        cells = {
            kind: f"{area:.3f}, {100 * pair.found[kind]:.0f}" for kind, area in pair.auroc.items()
        }
        low, high = pair.interval
        cells[ALL] = cells[ALL].replace(",", f" ({low:.3f}-{high:.3f}),")
        made.add_row(f"{pair.odd} ({pair.num_odd})", *cells.values())
    return made


def _comparison(pairs: Sequence[Pair]) -> Table:
    """The pairs where a simple detector is better than all scores together."""
    worse = [pair for pair in pairs if not pair.is_as_good]
    made = table(
        "All together is at least as good as the best simple detector, by AUROC, on "
        f"{len(pairs) - len(worse)} of {len(pairs)} pairs; not on these",
        *("model", "odd pictures", ALL, "best simple detector", "its AUROC"),
    )
    for pair in worse:
        best = pair.best_detector
        areas = f"{pair.auroc[ALL]:.3f}", best, f"{pair.auroc[best]:.3f}"
        made.add_row(pair.model, pair.odd, *areas)
    return made


def _alarm_table() -> Table:
    return table(
        f"False alarms over {SPLITS} random splits of good pictures",
        "model",
        *("alpha, %", "held out", "judged", "false alarms, %: mean", "least", "most"),
        *("splits whose interval holds alpha", "least p of Kolmogorov-Smirnov"),
        caption="Judged pictures are behind nothing that ranks them. Intervals: Wilson's, of 95 %. "
        "Kolmogorov-Smirnov: two samples, evidence of the judged and of the held out.",
    )


def _alarm_rows(judge: Judge) -> Iterator[list[str]]:
    p_values, tests = [], []
    for seed in range(SPLITS):
        typical, scores = judge.fit(seed=seed)
        parts = split_pictures(len(judge.x), seed=seed)
        others = {kind: values[parts.others] for kind, values in scores.items()}
        p_values.append(typical.rank(others).p_value)
        tests.append(float(ks_2samp(typical.evidence, all_scores(typical, others)[ALL]).pvalue))
    held_out, judged = len(typical.evidence), len(parts.others)
    for rate in RATES:
        shares = [float((p_value <= rate).mean()) for p_value in p_values]
        intervals = [wilson_interval(share, judged) for share in shares]
        yield [
            *(f"{100 * rate:g}", f"{held_out:,}", f"{judged:,}"),
            *(f"{100 * value:.1f}" for value in (np.mean(shares), min(shares), max(shares))),
            f"{sum(low <= rate <= high for low, high in intervals)} of {SPLITS}",
            f"{min(tests):.3f}",
        ]
