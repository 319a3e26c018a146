"""The optimisers take the steps of torch's own."""

from typing import Any

import pytest
import torch
from torch import nn

from saat.optimisers import Adam, Sgd

Made = type[torch.optim.Optimizer]
CASES: list[tuple[Made, Made, dict[str, Any]]] = [
    (Sgd, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}),
    (Adam, torch.optim.Adam, {"lr": 0.1, "betas": (0.5, 0.999)}),
]


def trained(optimiser_class: Made, options: dict[str, Any], restart: bool) -> list[torch.Tensor]:
    """Parameters after steps with a falling rate, a second group and, if wanted, a restart."""
    torch.manual_seed(0)
    net, images = nn.Linear(5, 3), torch.randn(8, 5)
    optimiser = optimiser_class([net.weight], **options)
    optimiser.add_param_group({"params": [net.bias], "lr": 0.05})
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [3])
    for step in range(6):
        if restart and step == 2:
            saved = optimiser.state_dict()
            optimiser = optimiser_class([net.weight], **options)
            optimiser.add_param_group({"params": [net.bias], "lr": 0.05})
            optimiser.load_state_dict(saved)
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [1])
        optimiser.zero_grad()
        net(images).square().sum().backward()
        optimiser.step()
        schedule.step()
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("ours", "theirs", "options"), CASES)
def test_every_step_is_that_of_torch(
    ours: Made, theirs: Made, options: dict[str, Any], restart: bool
) -> None:
    for mine, other in zip(
        trained(ours, options, restart), trained(theirs, options, restart), strict=True
    ):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(("ours", "theirs", "options"), CASES)
def test_a_step_leaves_gradients_recorded_as_before(
    ours: Made, theirs: Made, options: dict[str, Any]
) -> None:
    net = nn.Linear(2, 1)
    optimiser = ours(net.parameters(), **options)
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    assert torch.is_grad_enabled()
    assert net.weight.grad_fn is None
    assert net.weight.requires_grad
