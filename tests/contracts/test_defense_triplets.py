"""What HM and CA-TRIDE share: which triplets there are, distances, and a joint attack."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from saat.data import RetrievalData
from saat.defenses.triplets import Triplets, distances, drawn
from saat.models import HashingNetwork
from tests import reference_defenses, toy
from tests.contracts.defense_runs import training

NAMES = ["hm", "ca_tride"]
every_triplet_defense = pytest.mark.parametrize("name", NAMES)


def embedded(run: Any, data: RetrievalData, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and labels of training rows."""
    run.set_mode()
    images = data.batch(data.train[rows]).float() / 255
    with torch.no_grad():
        return run.embed(images), run.train_labels[rows]


@every_triplet_defense
def test_triplets_have_an_anchor_of_the_first_half_a_relative_and_a_stranger(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    embeddings, labels = embedded(run, data, slice(0, 33))
    for seed in range(5):
        torch.manual_seed(seed)
        found: Triplets = run.triplets(embeddings, labels)
        expected = [
            a
            for a in range(16)
            if any(b != a and bool(labels[a] @ labels[b]) for b in range(33))
            and any(not bool(labels[a] @ labels[b]) for b in range(33) if b != a)
        ]
        assert found.anchors.tolist() == expected
        assert len(expected) < 16, "a row without a label is no anchor"
        for a, p, n in zip(*found, strict=True):
            assert p != a != n
            assert float(labels[a] @ labels[p]) > 0
            assert float(labels[a] @ labels[n]) == 0


@every_triplet_defense
def test_hard_negatives_are_those_of_the_paper(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    """HM: nearer than the farthest positive; CA-TRIDE: farther than the positive, not by much."""
    run = training(name, trained, data, epochs=4)
    run.epoch = 2
    margin = 0.2 * (1 - 2 / 8) ** 2
    embeddings, labels = embedded(run, data, slice(0, 32))
    torch.manual_seed(2)  # few triplets of CA-TRIDE have a hard negative
    found = run.triplets(embeddings, labels)
    away = torch.cdist(embeddings, embeddings)
    hard = 0
    for a, p, n in zip(*found, strict=True):
        others = torch.arange(32) != a
        related = (labels @ labels[a] > 0) & others
        strange = (labels @ labels[a] == 0) & others
        if name == "hm":
            soft = strange & (away[a] < away[a][related].max())
            far = related & (away[a] > away[a][strange].min())
            assert not far.any() or far[p]
        else:
            soft = strange & (away[a] > away[a, p]) & (away[a] < away[a, p] + margin)
        assert not soft.any() or soft[n]
        hard += int(soft.any())
    assert hard > 3


def test_a_column_is_drawn_from_the_preferred_ones_and_else_from_the_allowed() -> None:
    allowed = torch.tensor([[1, 1, 0, 1]] * 400).bool()
    for preferred, expected in (([1, 0, 1, 1], {0, 3}), ([0, 0, 1, 0], {0, 1, 3})):
        found = drawn(torch.tensor([preferred] * 400).bool(), allowed)
        assert set(found.tolist()) == expected


def test_the_distance_of_codes_is_twice_the_root_of_the_share_of_different_bits() -> None:
    a = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, 1]], requires_grad=True)
    b = torch.tensor([[1.0, 1, 1, 1], [-1, 1, -1, 1]])
    found = distances(normalize(a), normalize(b))
    np.testing.assert_allclose(found.detach(), [0, 2 * np.sqrt(3 / 4)], atol=1e-6)
    found.sum().backward()
    assert a.grad is not None
    assert bool(a.grad.isfinite().all()), "equal codes have no slope"
    features = torch.randn(5, 7)
    ours = distances(normalize(torch.tanh(features[:2])), normalize(torch.tanh(features[2:4])))
    plain = reference_defenses.all_distances(features[:2].numpy(), features[2:4].numpy())
    np.testing.assert_allclose(ours, plain, rtol=1e-5)


# The first of six has no relative and the other anchors no label; or nobody is a stranger.
WITHOUT_TRIPLETS = (
    [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]],
    [[1, 1, 0]] * 6,
)


@pytest.mark.parametrize("labels", WITHOUT_TRIPLETS)
@every_triplet_defense
def test_a_batch_without_triplets_has_the_objective_alone(
    name: str, labels: list[list[int]], trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    run.set_mode()
    index = torch.arange(6)
    images = data.batch(data.train[:6]).float() / 255
    alone = torch.tensor(labels).float()
    with torch.no_grad():
        loss = run.batch_loss(images, alone, index)
        original = run.objective(run.network(images), alone, index)
    assert float(loss) == pytest.approx(float(original), rel=1e-5)


@every_triplet_defense
def test_lambda_weighs_the_triplets_beside_the_objective(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    losses = []
    for weight in (0.0, 1.0, 3.0):
        run = training(name, trained, data, lambda_=weight)
        run.set_mode()
        torch.manual_seed(0)
        index = torch.arange(24)
        images = data.batch(data.train[:24]).float() / 255
        losses.append(run.batch_loss(images, run.train_labels[index], index).item())
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-4)


@pytest.mark.parametrize(("name", "steps", "cost"), [("hm", 8, 31.5), ("ca_tride", 16, 29.25)])
def test_the_cost_of_an_epoch_counts_the_attacked_images(
    name: str, steps: int, cost: float, trained: HashingNetwork, data: RetrievalData
) -> None:
    """In F, and by the images that pass: all anchors have triplets here."""
    run = training(name, trained, data, steps=steps, batch_size=96, epochs=2)
    run.train_labels = torch.eye(toy.CLASSES)[torch.arange(96) % toy.CLASSES]
    assert run.settings.epoch_work.passes == cost
    passed: list[int] = []
    run.network.register_forward_pre_hook(lambda _, given: passed.append(len(given[0])))
    inner: list[int] = []
    maximise = run.joint_maximisation

    def joint_maximisation(images: torch.Tensor, loss: Any) -> Any:
        inner.append(len(images))
        return maximise(images, loss)

    run.joint_maximisation = joint_maximisation
    for _ in range(2):
        run.run_epoch()
    attacked = sum(inner) / (2 * 96)
    assert 2 * steps * attacked + 3 * (1 + attacked) == cost
    assert sum(passed) >= 2 * 96 * (1 + attacked)
