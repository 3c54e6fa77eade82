"""The simulation of replicas: against closed forms of queues, and against what the engine does."""

import numpy as np
import pytest
from rich.table import Table

from app.serving.served_model import serve_bundle
from app.settings import PRETRAINED
from benchmarks import scaling, service_times
from benchmarks.costs import Cost
from benchmarks.open_loop import arrival_times
from benchmarks.queue_model import Curve, Machine, Work, simulate
from benchmarks.service_times import at_the_level_of, slowness_of, time_passes
from models.bundle.loading import load_bundle

SECONDS = 0.1


def single(seconds: float = SECONDS, *, noise: tuple[float, ...] = (1.0,), rows: int = 16) -> Work:
    """Work of one pass that shares its chunk with none."""
    return Work((("decode", rows),), {"decode": Curve((rows,), (seconds,), rows)}, (0.0,), 0, noise)


def poisson(load: float, *, replicas: int = 1, requests: int = 20_000) -> np.ndarray:
    rate = load * replicas / SECONDS
    return arrival_times(rate, requests / rate, seed=2)


@pytest.mark.parametrize("load", [0.5, 0.7])
def test_constant_work_waits_as_m_d_1(load: float) -> None:
    found = simulate(single(), poisson(load), replicas=1)
    wanted = load * SECONDS / (2 * (1 - load))  # Pollaczek and Khinchine
    assert np.mean(found.seconds) - SECONDS == pytest.approx(wanted, rel=0.08)
    assert found.percentile(1) == pytest.approx(SECONDS)


def test_exponential_work_takes_as_in_m_m_1() -> None:
    shares = (np.arange(1000) + 0.5) / 1000
    work = single(noise=tuple((-np.log(1 - shares)).tolist()))
    found = simulate(work, poisson(0.3), replicas=1)
    # The time of a request is exponential, of rate mu - lambda.
    for q in (50, 90, 99):
        wanted = -np.log(1 - q / 100) * SECONDS / (1 - 0.3)
        assert found.percentile(q) == pytest.approx(wanted, rel=0.1)


def test_many_replicas_wait_as_one_by_chance_and_hardly_where_the_fewest_is_asked() -> None:
    one = simulate(single(), poisson(0.7, requests=8000), replicas=1).percentile(99)
    times = poisson(0.7, replicas=8, requests=8000)
    by_chance, of_two, of_all = (
        simulate(single(), times, replicas=8, routing=routing).percentile(99)
        for routing in ("random", "two", "fewest")
    )
    assert by_chance == pytest.approx(one, rel=0.15)
    assert by_chance > 1.5 * of_two > 1.5 * of_all


def test_passes_of_waiting_requests_share_a_chunk() -> None:
    # 16 rows take as long as one and fill a chunk of the lane: two jobs of 8 rows fit.
    curve = Curve((1, 16, 32), (0.007, 0.007, 0.014), 16)
    work = Work((("decode", 8),), {"decode": curve}, (0.0,))
    found = simulate(work, np.array([0.0, 0.001, 0.002, 0.003]), replicas=1)
    assert found.seconds == pytest.approx([0.007, 0.013, 0.012, 0.018])


@pytest.mark.parametrize(
    ("took", "rows"), [((0.0025, 0.0025, 0.0034, 0.005), 102), ((0.009, 0.009, 0.018, 0.036), 16)]
)
def test_rows_of_a_chunk_follow_from_the_times_as_in_the_engine(
    took: tuple[float, ...], rows: int
) -> None:
    assert Curve((1, 16, 32, 64), took, 16).rows_within(0.008) // 16 == rows // 16


def test_what_would_wait_too_long_is_refused() -> None:
    times = np.zeros(20)
    found = simulate(single(), times, replicas=1, machine=Machine(max_wait=0.55))
    assert found.refused == pytest.approx(14 / 20)  # five are in front of the last that is admitted
    assert found.percentile(100) == pytest.approx(0.6)
    few = simulate(single(), times, replicas=1, machine=Machine(max_requests=3))
    assert few.refused == pytest.approx(17 / 20)


def test_the_event_loop_and_a_busy_neighbour_take_their_time() -> None:
    work = Work(single().parts, single().curves, (0.01,), 0.02)
    assert simulate(work, np.zeros(1), replicas=1).seconds == pytest.approx([0.13])
    # Reading the second takes 0.01 s from the chunk of the first.
    both = simulate(work, np.array([0.0, 0.05]), replicas=1).seconds
    assert both == pytest.approx([0.14, 0.09 + 0.11 + 0.01])
    # The second finds the first one computing.
    slow = simulate(
        single(),
        np.array([0.0, 0.01]),
        replicas=2,
        routing="fewest",
        machine=Machine(beside=1.5),
    )
    assert slow.seconds == pytest.approx([0.1, 0.15])


def test_passes_of_a_request_are_timed_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_times, "TOGETHER", (1, 2))
    bundle = load_bundle(PRETRAINED / "digits" / "1")
    x = np.zeros((1, *bundle.config.image.shape), np.float32)
    work = time_passes(serve_bundle(bundle, "cpu"), x, num_samples=3, rounds=1)
    assert [rows for _, rows in work.parts] == [1, 3]
    (encoder, _), (decoder, _) = work.parts
    assert work.curves[encoder].rows == (1, 2)
    assert work.curves[decoder].rows == (3, 6)
    assert len(work.gaps) == 2
    # A server that takes 0.1 s each, once 0.2 s, and 0.01 s around it.
    lane = np.array([0.1, 0.1, 0.2])
    levelled = at_the_level_of(work, np.stack([lane + 0.01, lane], 1))
    assert levelled.seconds == pytest.approx(0.1)
    assert levelled.loop_seconds == pytest.approx(0.01)
    assert levelled.noise == pytest.approx((1, 1, 2))


def test_the_slowness_of_requests_is_found_from_their_compute() -> None:
    times = poisson(0.5, requests=300)
    slow = np.random.default_rng(0).uniform(1, 1.4, len(times))
    computed = simulate(single(), times, replicas=1, slowness=slow).compute
    given = {"replicas": 1, "machine": Machine()}
    np.testing.assert_allclose(slowness_of(single(), times, computed, **given), slow)
    # Twice as slow, where requests share chunks.
    curve = Curve((1, 16, 32), (0.007, 0.007, 0.014), 16)
    shared = Work((("decode", 4),), {"decode": curve}, (0.0,))
    computed = simulate(shared, times / 20, replicas=1, slowness=np.full(len(times), 2.0)).compute
    found = slowness_of(shared, times / 20, computed, **given)
    assert np.median(found) == pytest.approx(2.0, rel=0.05)


def test_machines_and_money_follow_from_the_costs() -> None:
    names = ("encode", "sample", "elbo", "log-likelihood")
    costs = {name: Cost(name, one=0.07, many=0.036, count=100) for name in names}
    served, stored = scaling._plans(costs, {1: 2**30, 2: 2**30 + 2**29})
    # 1,000 x 0.07 s at 70 %: 100 cores, 7 machines and one more; 1 + 15 x 0.5 GiB.
    assert rows_of(served)[0] == ["encode", "100.0", "8", "8.5", "4,672"]
    # 10^9 x 0.036 s = 10,000 hours, at 0.9 of the rate; by 256 cores.
    assert rows_of(stored)[0] == ["encode", "11,111", "1.81", "556"]


def rows_of(made: Table) -> list[list[str]]:
    cells = [list(map(str, column.cells)) for column in made.columns]
    return [list(row) for row in zip(*cells, strict=True)]
