"""HashNet's continuation and HSWD's coin flips."""

import math

import numpy as np
import pytest
import torch

from saat.data import RetrievalData
from saat.defenses import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES, HashNet
from saat.hashing.hashnet import DISTRIBUTION_WEIGHT
from saat.models import HashingNetwork
from tests import toy
from tests.reference_objectives import hswd_mean_distance

continued = pytest.mark.parametrize("name", ["hashnet", "hswd"])

LABELS = torch.eye(3).repeat(4, 1)
INDEX = torch.arange(6)


def built(name: str, iterations: int = 0) -> HashNet:
    objective = OBJECTIVES[name](LABELS, toy.BITS, 0)
    assert isinstance(objective, HashNet)
    objective.iterations.fill_(iterations)
    return objective


def drawn(rows: int = 6) -> torch.Tensor:
    return torch.randn(rows, toy.BITS, generator=torch.Generator().manual_seed(1))


@continued
@pytest.mark.parametrize(
    ("iterations", "square"),
    [(0, 1.0), (1, 1.0), (199, 1.0), (200, 2.0), (399, 2.0), (400, 3.0), (1000, 6.0), (1001, 6.0)],
)
def test_the_scale_is_refreshed_every_200_iterations(
    name: str, iterations: int, square: float
) -> None:
    objective = built(name, iterations)
    assert objective.scale == pytest.approx(math.sqrt(square))
    expected = torch.tanh(math.sqrt(square) * drawn())
    torch.testing.assert_close(objective.codes(drawn()), expected)
    # One scale for everything in a batch, also where the next batch has another.
    objective(drawn(), LABELS[INDEX], INDEX)
    torch.testing.assert_close(objective.memory[INDEX], expected)
    assert int(objective.iterations) == iterations + 1
    assert objective.eval().scale == 1


@continued
def test_evaluation_neither_scales_nor_counts(name: str) -> None:
    objective = built(name, 600).eval()
    assert torch.equal(objective.codes(drawn()), torch.tanh(drawn()))
    objective(drawn(), LABELS[INDEX], INDEX)
    assert int(objective.iterations) == 600
    assert objective.train().scale == 2


@continued
def test_the_iterations_are_restored_with_the_model(name: str) -> None:
    state = built(name, 777).state_dict()
    other = built(name)
    other.load_state_dict(state)
    assert int(other.iterations) == 777
    assert other.scale == pytest.approx(2.0)


@continued
def test_the_scale_goes_on_growing_through_adversarial_training(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    objective = toy.toy_objective(data, name)
    assert isinstance(objective, HashNet)
    objective.iterations.fill_(398)  # as pretraining left it
    network = toy.toy_network()
    network.load_state_dict(trained.state_dict())
    run = SaatTraining(network, objective, data, SaatSettings(epochs=2, steps=3, lr=1e-6), 0)
    assert objective.scale == pytest.approx(math.sqrt(2))
    scales: list[float] = []
    for _ in range(2):
        run.run_epoch(lambda *_: scales.append(objective.scale))
    # Three batches an epoch, each counted once whatever its inner PGD; two of them below 400.
    assert scales == pytest.approx([math.sqrt(2), *[math.sqrt(3)] * 5])
    assert int(objective.iterations) == 404
    features = run.train_features()
    torch.testing.assert_close(
        objective.memory, torch.tanh(math.sqrt(3) * features), atol=1e-2, rtol=0
    )


@pytest.mark.lengthy
@pytest.mark.parametrize("iterations", [0, 199, 200])
def test_hswd_adds_the_distance_to_fair_coin_flips(iterations: int) -> None:
    f = drawn().double()
    hashnet = built("hashnet", iterations).double()
    pairwise = hashnet(f, LABELS[INDEX].double(), INDEX)
    torch.manual_seed(0)
    extra = []
    for _ in range(2000):
        objective = built("hswd", iterations).double()
        extra.append(float(objective(f, LABELS[INDEX].double(), INDEX) - pairwise))
    scale = math.sqrt(1 + 0.005 * (iterations // 200 * 200))
    expected = DISTRIBUTION_WEIGHT * hswd_mean_distance(np.tanh(scale * f.numpy()))
    error = np.std(extra) / math.sqrt(len(extra))
    assert error > 0
    assert abs(np.mean(extra) - expected) < 5 * error
