"""What steps add up on the device, and what is read of it."""

import pytest
import torch

from training.fit.objectives import Terms
from training.fit.progress import Window


def add(window: Window, elbo: float, norm: float = 2.0) -> None:
    scalars = {"elbo_nats": torch.tensor(elbo), "kl_weight": 0.5}
    window.add(Terms(torch.zeros(()), scalars), torch.tensor(norm), images=10)


def test_means_are_those_of_the_steps_whose_gradient_was_finite() -> None:
    window = Window()
    assert window.means() == {}
    for elbo, norm in ((-3.0, 2.0), (torch.nan, torch.inf), (-5.0, 4.0)):
        add(window, elbo, norm)
    window.read()
    assert (window.taken, window.steps, window.images) == (3, 2, 30)
    means = window.means()
    assert means["train_elbo_nats"] == -4
    assert means["train_kl_weight"] == 0.5
    assert means["gradient_norm"] == 3


def test_a_window_goes_on_from_its_state_to_the_same_sums() -> None:
    torch.manual_seed(0)
    elbos = torch.randn(20).tolist()
    whole, first = Window(), Window()
    for elbo in elbos:
        add(whole, elbo)
    for elbo in elbos[:7]:
        add(first, elbo)
    first.read()
    second = Window.restored(first.state())
    for elbo in elbos[7:]:
        add(second, elbo)
    for window in (whole, second):
        window.read()
    assert second.state() == whole.state()
    assert second.means() == whole.means()


def test_the_window_of_an_older_checkpoint_counts_its_steps_as_taken() -> None:
    old = {"steps": 3, "images": 30, "seconds": 1.0, "gradient_norm": 6.0, "scalars": {}}
    window = Window.restored(old)
    assert (window.taken, window.seen) == (3, 3)
    assert window.means()["gradient_norm"] == 2
    assert Window.restored({}).means() == {}


@pytest.mark.parametrize("reads", [1, 3])
def test_reading_more_often_changes_no_sum(reads: int) -> None:
    window = Window()
    for elbo in (1.0, 2.0):
        add(window, elbo)
        for _ in range(reads):
            window.read()
    assert window.scalars["elbo_nats"] == 3
