"""CA-TRIDE: collapseness, whose turn it is, the two attacks, the growing step and the loss."""

from typing import Any

import numpy as np
import pytest
import torch

from saat.data import RetrievalData
from saat.defenses.ca_tride import collapseness, nearer_half
from saat.defenses.triplets import Triplets, distances
from saat.models import HashingNetwork
from tests import reference_defenses as plain
from tests.contracts.defense_runs import training

# By the labels of the toy data.
TRIPLETS = Triplets(
    torch.tensor([0, 1, 2, 3]), torch.tensor([6, 4, 8, 9]), torch.tensor([10, 11, 7, 8])
)


def prepared(trained: HashingNetwork, data: RetrievalData, **changes: Any) -> Any:
    run: Any = training("ca_tride", trained, data, **changes)
    run.set_mode()
    return run


def images_of(data: RetrievalData) -> torch.Tensor:
    return data.batch(data.train[:12]).float() / 255


def features_of(run: Any, images: torch.Tensor) -> Any:
    with torch.no_grad():
        return run.network(images).numpy()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_summaries_of_distances_are_the_plain_ones(count: int) -> None:
    away = torch.rand(count) * 2
    for sharpness in (0.0, 2.0, 10.0):
        found = float(collapseness(away, sharpness))
        assert found == pytest.approx(plain.collapseness(away.tolist(), sharpness), rel=1e-5)
        assert found >= float(away.mean()) - 1e-6
    assert float(nearer_half(away)) == pytest.approx(plain.nearer_half(away.tolist()), rel=1e-5)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_the_loss_and_the_aims_of_both_attacks_are_those_of_the_authors_code(
    turn: int, swapped: bool, trained: HashingNetwork, data: RetrievalData
) -> None:
    """Swapped: negatives are nearer than positives."""
    triplets = Triplets(*TRIPLETS[::2], TRIPLETS.positives) if swapped else TRIPLETS
    run = prepared(trained, data, margin=0.3, collapse=4.0)
    run.turn.fill_(turn)
    images = images_of(data)
    rows = torch.cat(triplets[1:]) if turn % 2 == 0 else triplets.anchors
    moved = (images[rows] + 0.05).clamp(0, 1)
    aims: list[float] = []

    def joint_maximisation(given: torch.Tensor, loss: Any) -> torch.Tensor:
        assert torch.equal(given, images[rows])
        with torch.no_grad():
            aims.append(float(loss(run.embed(moved))))
        return moved

    run.joint_maximisation = joint_maximisation
    loss = run.triplet_term(images, run.embed(images), triplets).item()
    assert int(run.turn) == turn + 1
    benign, attacked = features_of(run, images), features_of(run, moved)
    a, p, n = (benign[part.numpy()] for part in triplets)
    home = a
    if turn % 2:
        a = attacked
    else:
        p, n = np.split(attacked, 2)
    near, far = plain.all_distances(a, p), plain.all_distances(a, n)
    if turn % 2:
        aim = plain.ca_tride_anchors(near, far, plain.all_distances(a, home), 4.0)
    else:
        aim = plain.ca_tride_candidates(near, far, 4.0)
    assert (aim > 0) == (turn % 2 == 1 or not swapped)
    assert aims[0] == pytest.approx(aim, rel=1e-4)
    term = plain.ca_tride_term(near, far, 0.3)
    assert (term > plain.triplet_loss(near, far, 0.3)) == swapped
    assert loss == pytest.approx(term, rel=1e-4)


def test_the_factor_of_the_anchors_attack_has_no_gradient(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = prepared(trained, data)
    run.turn.fill_(1)
    images = images_of(data)
    with torch.no_grad():
        embedded = run.embed(images)
    moved = run.embed((images[TRIPLETS.anchors] + 0.02).clamp(0, 1)).detach().requires_grad_()
    slopes: list[torch.Tensor] = []

    def joint_maximisation(given: torch.Tensor, loss: Any) -> torch.Tensor:
        slopes.extend(torch.autograd.grad(loss(moved), moved))
        return given

    run.joint_maximisation = joint_maximisation
    run.triplet_term(images, embedded, TRIPLETS)
    near, far = (distances(moved, embedded[rows]) for rows in TRIPLETS[1:])
    gap = (collapseness(far, 10.0) - collapseness(near, 10.0)).item()
    left = nearer_half(far) - distances(moved, embedded[TRIPLETS.anchors]).mean()
    assert gap > 0
    assert float(left) > 0
    (slope,) = torch.autograd.grad(left, moved)
    torch.testing.assert_close(slopes[0], np.exp(-gap) * slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("turn", [0, 1])
def test_the_attack_brings_strangers_as_near_as_relatives_and_no_nearer(
    turn: int, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = prepared(trained, data, steps=30, eps=24 / 255, epochs=4)
    run.epoch = 3
    run.turn.fill_(turn)
    images = images_of(data)
    found: list[tuple[torch.Tensor, float, float]] = []
    maximise = run.joint_maximisation

    def joint_maximisation(given: torch.Tensor, loss: Any) -> torch.Tensor:
        attacked: torch.Tensor = maximise(given, loss)
        with torch.no_grad():
            before, after = (float(loss(run.embed(each))) for each in (given, attacked))
        found.append((attacked - given, before, after))
        return attacked

    run.joint_maximisation = joint_maximisation
    run.triplet_term(images, run.embed(images), TRIPLETS)
    change, before, after = found[0]
    assert 0 < float(change.abs().max()) <= 24 / 255 + 1e-6
    assert after < 0.7 * before
    assert after < before - 0.05


def test_the_step_grows_with_the_epochs_and_the_first_moves_nothing(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = prepared(trained, data, epochs=4, step_size=0.02)
    steps = []
    for epoch in range(4):
        run.epoch = epoch
        steps.append(run.pgd_step)
    assert steps == pytest.approx([0, 0.005, 0.01, 0.015])
    run.epoch = 0
    images = images_of(data)
    assert torch.equal(run.joint_maximisation(images, lambda e: e.sum()), images)


def test_turns_go_on_over_epochs(trained: HashingNetwork, data: RetrievalData) -> None:
    run = prepared(trained, data)
    counts: list[int] = []
    maximise = run.joint_maximisation

    def joint_maximisation(given: torch.Tensor, loss: Any) -> Any:
        counts.append(len(given))
        return maximise(given, loss)

    run.joint_maximisation = joint_maximisation
    run.run_epoch()
    run.run_epoch()
    assert len(counts) == 6
    both = [count > 16 for count in counts]
    assert both == [True, False, True, False, True, False]
