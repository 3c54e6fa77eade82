"""The learning rate over a run, what is decayed, and where pseudo-inputs stay."""

from collections.abc import Callable

import pytest
import torch

from models.vae.model import VAE
from tests.models.family_cases import family
from training.fit.optimizer import (
    gradient_norm,
    load_optimizer,
    make_optimizer,
    schedule,
    step_if_finite,
    update_average,
)
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


def test_stages_have_the_rates_and_lengths_of_burda_et_al():
    config = ScheduleConfig(kind="stages", warmup=0.0)
    # The paper's own loop: 3^i epochs at a rate of 0.001 10^(-i/7), for i = 0..7.
    by_epoch = [10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert len(by_epoch) == 3280
    ours = [schedule((epoch + 0.5) / 3280, config) for epoch in range(3280)]
    assert ours == pytest.approx(by_epoch)
    assert schedule(1.0, config) == pytest.approx(0.1)
    warmed = ScheduleConfig(kind="stages", warmup=0.5)
    assert schedule(0.25, warmed) == pytest.approx(0.5)
    assert schedule(0.5, warmed) == 1.0
    assert schedule(0.5 + 1 / 3280, warmed) == pytest.approx(10 ** (-1 / 7))


def test_eps_is_the_optimizers():
    vae = VAE(family("standard"))
    assert [g["eps"] for g in make_optimizer(vae, OptimizerConfig()).param_groups] == [1e-8] * 2
    told = make_optimizer(vae, OptimizerConfig(eps=1e-4))
    assert [group["eps"] for group in told.param_groups] == [1e-4] * 2


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


Step = Callable[[torch.optim.Optimizer, list[torch.Tensor]], None]


def stepped(step: Step, *, fused: bool) -> list[torch.Tensor]:
    """Parameters after two steps by gradients of fixed seeds."""
    torch.manual_seed(0)
    vae = VAE(family("standard"))
    optimizer = make_optimizer(vae, OptimizerConfig(weight_decay=0.1))
    for group in optimizer.param_groups:
        group["fused"] = fused
    parameters = list(vae.parameters())
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        step(optimizer, parameters)
    return [*map(torch.Tensor.detach, parameters)]


@pytest.mark.parametrize("largest_norm", [1e9, 0.01])
def test_the_fused_step_is_the_plain_one_clipped_as_torch_clips(largest_norm: float):
    def plain(optimizer: torch.optim.Optimizer, parameters: list[torch.Tensor]) -> None:
        torch.nn.utils.clip_grad_norm_(parameters, largest_norm)
        optimizer.step()

    def ours(optimizer: torch.optim.Optimizer, parameters: list[torch.Tensor]) -> None:
        step_if_finite(optimizer, gradient_norm(parameters), largest_norm)

    wanted = stepped(plain, fused=False)
    for fused in (True, False):
        for one, other in zip(stepped(ours, fused=fused), wanted, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("fused", [True, False])
def test_a_gradient_that_is_not_finite_moves_nothing_and_no_moment(fused: bool):
    torch.manual_seed(0)
    vae = VAE(family("standard"))
    optimizer = make_optimizer(vae, OptimizerConfig())
    for group in optimizer.param_groups:
        group["fused"] = fused
    parameters = list(vae.parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    step_if_finite(optimizer, gradient_norm(parameters), 1.0)
    before = [parameter.detach().clone() for parameter in parameters]
    moments = [value.clone() for state in optimizer.state.values() for value in state.values()]
    for value in (torch.inf, torch.nan):
        parameters[0].grad.flatten()[0] = value
        step_if_finite(optimizer, gradient_norm(parameters), 1.0)
    assert all(map(torch.equal, parameters, before))
    after = [value for state in optimizer.state.values() for value in state.values()]
    assert all(map(torch.equal, after, moments))


def test_the_state_of_an_optimizer_that_did_not_fuse_is_taken_on():
    torch.manual_seed(0)
    vae = VAE(family("standard"))
    old = torch.optim.AdamW(make_optimizer(vae, OptimizerConfig()).param_groups, fused=None)
    for group in old.param_groups:
        group["fused"] = None
    new = make_optimizer(vae, OptimizerConfig())
    for parameter in vae.parameters():
        parameter.grad = torch.randn_like(parameter)
    old.step()
    load_optimizer(new, old.state_dict())
    step_if_finite(new, gradient_norm(list(vae.parameters())), 1e9)
    assert all(float(state["step"]) == 2 for state in new.state.values())


def test_the_average_moves_by_its_decay():
    averaged, trained = [torch.zeros(3)], [torch.ones(3)]
    update_average(averaged, trained, decay=0.75)
    assert torch.equal(averaged[0], torch.full((3,), 0.25))
    update_average(averaged, trained, decay=0.0)
    assert torch.equal(averaged[0], trained[0])
