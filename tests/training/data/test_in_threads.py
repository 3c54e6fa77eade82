"""A function of many items in threads: results in order, errors, and no more ahead than needed."""

import threading

import pytest

from models.cpus import usable_cpus
from training.data import in_threads
from training.data.in_threads import map_in_threads


def test_results_are_in_the_order_of_the_items() -> None:
    items = list(range(500))
    found = map_in_threads(lambda item: item * item, items, words="", console=None)
    assert list(found) == [item * item for item in items]


def test_a_fault_of_one_item_is_raised_and_the_others_are_not_computed() -> None:
    done: list[int] = []

    def fail(item: int) -> int:
        done.append(item)
        if item == 3:
            raise ZeroDivisionError
        return item

    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(fail, range(10_000), words="", console=None))
    assert len(done) < 1_000


def test_results_that_nobody_takes_yet_do_not_pile_up() -> None:
    done: list[int] = []
    most = (in_threads._AHEAD + 1) * min(32, usable_cpus()) + 1
    found = map_in_threads(done.append, range(10_000), words="", console=None)
    next(found)
    threading.Event().wait(0.05)
    assert len(done) <= most
    found.close()
    assert len(done) <= most
