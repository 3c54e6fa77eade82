"""The learning rate over a run, what is decayed, and where pseudo-inputs stay."""

import pytest
import torch

from models.vae.model import VAE
from tests.models.family_cases import family
from training.fit.optimizer import make_optimizer, schedule
from training.fit.pseudo_inputs import clamp_pseudo_inputs
from training.recipes.loop import OptimizerConfig, ScheduleConfig


def test_the_schedule_warms_up_and_falls_to_zero():
    config = ScheduleConfig(warmup=0.1)
    assert schedule(0.0, config) > 0
    assert schedule(0.05, config) == pytest.approx(0.5)
    assert schedule(0.1, config) == 1.0
    assert schedule(0.55, config) == pytest.approx(0.5)
    assert schedule(1.0, config) == pytest.approx(0.0)
    assert schedule(0.9, ScheduleConfig(kind="constant", warmup=0.0)) == 1.0


@pytest.mark.parametrize("name", ["mixture", "vamp", "label-prior", "conv-ladder"])
def test_weights_of_networks_are_decayed_and_nothing_else(name: str):
    vae = VAE(family(name))
    decayed, others = make_optimizer(vae, OptimizerConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in vae.named_parameters()}
    assert len(decayed["params"]) + len(others["params"]) == len(names)
    for parameter in decayed["params"]:
        assert names[id(parameter)].endswith(".weight")
        assert parameter.ndim in (2, 4)
    assert all(not names[id(parameter)].endswith(".weight") for parameter in others["params"])


def test_pseudo_inputs_return_to_where_they_have_a_gradient():
    vae = VAE(family("vamp"))
    pseudo_inputs = vae.prior_module.pseudo_inputs
    with torch.no_grad():
        pseudo_inputs.copy_(torch.linspace(-1, 2, pseudo_inputs.numel()).view_as(pseudo_inputs))
    clamp_pseudo_inputs(vae)
    assert (pseudo_inputs.min(), pseudo_inputs.max()) == (0, 1)
    vae.prior().log_prob(torch.zeros(1, 2)).sum().backward()
    assert bool((pseudo_inputs.grad != 0).all())
    clamp_pseudo_inputs(VAE(family("standard")))
