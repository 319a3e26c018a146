"""HM: the hardness that is aimed for, the attack that stops there, and the loss."""

from typing import Any

import numpy as np
import pytest
import torch

from saat.data import RetrievalData
from saat.defenses.hm import hardness
from saat.defenses.triplets import Triplets
from saat.models import HashingNetwork
from tests import reference_defenses
from tests.contracts.defense_runs import training

# By the labels of the toy data.
TRIPLETS = Triplets(torch.tensor([0, 1, 2]), torch.tensor([3, 4, 8]), torch.tensor([7, 11, 6]))


def prepared(trained: HashingNetwork, data: RetrievalData, **changes: Any) -> Any:
    run: Any = training("hm", trained, data, **changes)
    run.set_mode()
    return run


def images_of(data: RetrievalData) -> torch.Tensor:
    return data.batch(data.train[:12]).float() / 255


def features_of(run: Any, images: torch.Tensor) -> Any:
    with torch.no_grad():
        return run.network(images).numpy()


@pytest.mark.parametrize("previous", [0.07, 0.9])
def test_the_loss_and_the_aim_of_the_attack_are_those_of_the_paper(
    previous: float, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = prepared(trained, data, margin=0.3, ics=0.7)
    assert float(run.previous) == pytest.approx(0.3)
    run.previous.fill_(previous)
    images = images_of(data)
    rows = torch.cat(TRIPLETS)
    moved = (images[rows] + 0.05).clamp(0, 1)
    aims: list[Any] = []

    def joint_maximisation(given: torch.Tensor, loss: Any) -> torch.Tensor:
        assert torch.equal(given, images[rows])
        with torch.no_grad():
            aims.append(float(loss(run.embed(given)).sum()))
        return moved

    run.joint_maximisation = joint_maximisation
    loss = run.triplet_term(images, run.embed(images), TRIPLETS).item()
    benign, attacked = features_of(run, images), features_of(run, moved)
    thirds: Any = np.split(attacked, 3)
    expected = reference_defenses.hm_term((benign[:3], benign[[3, 4, 8]]), thirds, 0.3, 0.7)
    assert (float(run.previous), loss) == pytest.approx(expected, rel=1e-4)
    wanted = reference_defenses.hm_inner(
        (benign[:3], benign[[3, 4, 8]], benign[[7, 11, 6]]), previous, 0.3
    )
    assert wanted > 0
    assert aims[0] == pytest.approx(wanted, rel=1e-4)


def test_the_attack_raises_the_hardness_to_its_aim_and_leaves_harder_triplets_alone(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = prepared(trained, data, steps=40, step_size=0.1 / 255)
    images = images_of(data)[torch.cat(TRIPLETS)]
    with torch.no_grad():
        before = hardness(run.embed(images))
    aim = float(before.median()) + 0.05
    attacked = run.joint_maximisation(
        images, lambda moved: (aim - hardness(moved)).clamp(min=0).square()
    )
    with torch.no_grad():
        after = hardness(run.embed(attacked))
    assert float((attacked - images).abs().max()) <= 4 / 255 + 1e-6
    for triplet in range(3):
        own = [triplet, 3 + triplet, 6 + triplet]
        same = torch.equal(attacked[own], images[own])
        assert same == (float(before[triplet]) >= aim)
    assert bool((after > aim - 1e-3).all())
    assert bool((after < torch.maximum(before, torch.tensor(aim)) + 0.05).all()), "it stops there"


def test_the_aim_grows_while_the_loss_falls(trained: HashingNetwork, data: RetrievalData) -> None:
    run = prepared(trained, data)
    run.run_epoch()
    assert 0 < float(run.previous) < 1
    assert torch.equal(run.buffers()["previous"], run.previous)
