"""The order of a run's images, and the seeds of its steps."""

import torch

from training.fit.order import Plan, derive_seed


def test_an_epoch_shows_each_image_once_and_in_an_order_of_its_own():
    plan = Plan(count=100, batch_size=10, epochs=2, seed=3)
    steps = list(plan.batches(start=0))
    first, second = torch.cat(steps[:10]), torch.cat(steps[10:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != second.tolist()
    assert torch.equal(next(plan.batches(start=13)), steps[13])


def test_where_a_step_is_counts_epochs_and_parts_of_the_run():
    plan = Plan(count=105, batch_size=10, epochs=4, seed=0)
    at = plan.at(15)
    assert (plan.num_steps, at.step, at.epoch, at.progress) == (40, 15, 1.5, 0.375)


def test_a_run_of_fewer_steps_than_its_epochs_ends_its_schedule_there():
    plan = Plan(count=105, batch_size=10, epochs=4, seed=0, max_steps=25)
    assert (plan.num_steps, plan.at(20).progress, plan.at(20).epoch) == (25, 0.8, 2.0)
    assert len(list(plan.batches(start=0))) == 25
    assert Plan(count=105, batch_size=10, epochs=4, seed=0, max_steps=41).num_steps == 40


def test_a_step_belongs_to_the_epoch_that_it_is_part_of():
    plan = Plan(count=105, batch_size=10, epochs=4, seed=0)
    assert [plan.epoch_of(step) for step in (1, 10, 11, 40)] == [1, 1, 2, 4]


def test_the_mixed_seeds_of_neighbouring_steps_are_far_apart():
    seeds = {derive_seed(seed, step) for seed in range(20) for step in range(-50, 50)}
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
