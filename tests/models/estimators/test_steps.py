"""Estimates in steps: chunks that add up, and at least one sample."""

from math import prod

import pytest
import torch

from models.errors import InputError
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.estimators.steps import CHUNK_ROWS, Pass, chunks, run_steps, without_steps
from tests.oracle import instance


@pytest.mark.parametrize("num_samples", [1, 7, 512, 5000])
@pytest.mark.parametrize("num_items", [0, 1, 3, 100, 5000])
@pytest.mark.parametrize("chunk_rows", [1, 64, CHUNK_ROWS])
def test_chunks_add_up_and_keep_to_their_rows(num_samples, num_items, chunk_rows):
    sizes = chunks(num_samples, num_items, chunk_rows)
    assert sum(sizes) == num_samples
    assert min(sizes) >= 1
    assert max(sizes) * num_items <= max(chunk_rows, num_items)


@pytest.mark.parametrize("num_samples", [0, -3])
@pytest.mark.parametrize("estimate", [estimate_elbo, estimate_log_px])
def test_fewer_than_one_sample_is_refused(estimate, num_samples):
    oracle = instance("easy")
    with pytest.raises(InputError, match=f"num_samples={num_samples} is too few.*at least 1") as e:
        estimate(oracle.vae, oracle.draw(2), num_samples=num_samples, seed=0)
    assert e.value.details["parameter"] == "num_samples"
    assert e.value.details["received"] == num_samples


def test_a_stepwise_function_can_be_run_to_its_end():
    def count(start, *, steps):
        number = torch.tensor([start])
        for _ in range(steps):
            (number,) = yield Pass(lambda rows: (rows + 1,), (), (number,))
        return int(number)

    assert without_steps(count)(3, steps=4) == 7
    assert run_steps(count(3, steps=0)) == 3


def add(offset, a, b):
    return a + offset, None if b is None else a * b


@pytest.mark.parametrize("lead", [(7,), (3, 5), (1, 6), (4, 1)])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("max_rows", [1, 2, 4, 100])
def test_the_parts_of_a_pass_give_the_results_of_the_whole(lead, second, max_rows):
    a = torch.arange(prod(lead) * 2.0).reshape(*lead, 2)
    b = torch.full((*lead[1:], 2), 3.0).expand(*lead, 2) if second else None
    whole = Pass(add, (10,), (a, b), len(lead))
    parts = whole.split(max_rows)
    assert all(part.num_rows <= max_rows for part in parts)
    assert sum(part.num_rows for part in parts) == whole.num_rows == prod(lead)
    for joined, expected in zip(whole.join([p.run() for p in parts]), whole.run(), strict=True):
        assert (joined is None) == (expected is None)
        assert joined is None or torch.equal(joined, expected)


def test_passes_of_one_function_model_and_shape_may_run_together():
    one = Pass(add, (10,), (torch.zeros(2, 3), None))
    assert one.key == Pass(add, (10,), (torch.ones(5, 3), None)).key
    assert one.key == Pass(add, (10,), (torch.ones(4, 5, 3), None), 2).key
    for other in (
        Pass(add, (11,), (torch.zeros(2, 3), None)),
        Pass(add, (10,), (torch.zeros(2, 4), None)),
        Pass(add, (10,), (torch.zeros(2, 3), torch.zeros(2, 3))),
    ):
        assert one.key != other.key
