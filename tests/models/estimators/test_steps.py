"""Estimates in steps: chunks that add up, and at least one sample."""

import pytest

from models.errors import InputError
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.estimators.steps import CHUNK_ROWS, chunks, run_steps, without_steps
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
        for _ in range(steps):
            yield
            start += 1
        return start

    assert without_steps(count)(3, steps=4) == 7
    assert run_steps(count(3, steps=0)) == 3
