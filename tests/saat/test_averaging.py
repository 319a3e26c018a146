"""Averaged weights, against the formula."""

import pytest
import torch
from torch import nn

from saat.averaging import AveragedNetwork


def network(value: float) -> nn.Module:
    out = nn.Sequential(
        nn.Linear(2, 2, dtype=torch.float64), nn.BatchNorm1d(2, dtype=torch.float64)
    )
    with torch.no_grad():
        for part in out.parameters():
            part.fill_(value)
    return out


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_the_average_is_that_of_the_formula(decay: float) -> None:
    trained = network(5.0)
    average = AveragedNetwork(trained, decay)
    expected, values = 5.0, [1.0, -2.0, 4.0, 0.5] * 10
    for step, value in enumerate(values):
        with torch.no_grad():
            trained[0].weight.fill_(value)  # type: ignore[index]
        average.update(trained)
        d = min(decay, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * value
    assert float(average.network[0].weight[0, 0]) == pytest.approx(expected, rel=1e-12)  # type: ignore[index]
    assert int(average.steps) == len(values)


def test_statistics_of_batch_norm_are_those_of_the_network() -> None:
    trained = network(1.0)
    average = AveragedNetwork(trained, 0.99)
    trained(torch.randn(8, 2, dtype=torch.float64))
    average.update(trained)
    for kept, buffer in zip(average.network.buffers(), trained.buffers(), strict=True):
        assert torch.equal(kept, buffer)
    assert not any(part.requires_grad for part in average.network.parameters())


def test_an_average_goes_on_from_its_tensors() -> None:
    first, trained = AveragedNetwork(network(1.0), 0.9), network(3.0)
    first.update(trained)
    second = AveragedNetwork(network(0.0), 0.9)
    second.load({name: part.clone() for name, part in first.tensors().items()})
    for average in (first, second):
        average.update(trained)
    found, expected = second.network.state_dict(), first.network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
