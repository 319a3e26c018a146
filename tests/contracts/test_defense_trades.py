"""TRADES: the attack's objective and the loss, against plain formulas."""

from typing import Any

import numpy as np
import pytest
import torch

from saat.data import RetrievalData
from saat.models import HashingNetwork
from tests.contracts.defense_runs import training


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_the_loss_is_the_objective_and_beta_times_the_cosine_distance(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run: Any = training("trades", trained, data, beta=2.5)
    run.set_mode()
    index = torch.arange(8)
    images = data.batch(data.train[:8]).float() / 255
    given: list[torch.Tensor] = []
    attacked = (images + 0.05).clamp(0, 1)

    def inner_maximisation(_: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        given.append(codes)
        return attacked

    run.inner_maximisation = inner_maximisation
    loss = run.batch_loss(images, run.train_labels[index], index)
    with torch.no_grad():
        u, moved = (np.tanh(run.network(x).double().numpy()) for x in (images, attacked))
        original = run.objective(run.network(images), run.train_labels[index], index)
    distance = np.mean([1 - cosine(*pair) for pair in zip(u, moved, strict=True)])
    assert float(loss) == pytest.approx(float(original) + 2.5 * distance, rel=1e-4)
    np.testing.assert_allclose(given[0].numpy(), u, atol=1e-5)
    assert not given[0].requires_grad


def test_the_attack_raises_the_same_distance(trained: HashingNetwork, data: RetrievalData) -> None:
    run: Any = training("trades", trained, data, steps=5, step_size="auto")
    run.set_mode()
    images = data.batch(data.train[:32]).float() / 255
    with torch.no_grad():
        relaxed = torch.tanh(run.network(images))

    def agreement(x: torch.Tensor) -> float:
        with torch.no_grad():
            return float(run.inner_loss(run.network(x), relaxed).mean())

    torch.manual_seed(0)
    noisy = (images + torch.empty_like(images).uniform_(-8 / 255, 8 / 255)).clamp(0, 1)
    attacked = run.inner_maximisation(images, relaxed)
    assert float((attacked - images).abs().max()) <= 8 / 255 + 1e-6
    assert agreement(attacked) < agreement(noisy) - 0.05
    features = torch.randn(4, 3)
    found = run.inner_loss(features, features.flip(0))
    pairs = zip(np.tanh(features.numpy()), features.flip(0).numpy(), strict=True)
    np.testing.assert_allclose(found.numpy(), [cosine(*pair) for pair in pairs], rtol=1e-5)
