"""CRDAT's loss and its teacher."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data import RetrievalData
from saat.defenses.crdat import represent
from saat.models import HashingNetwork
from tests import reference, reference_defenses, toy
from tests.contracts.defense_runs import training


def test_batch_loss_equals_the_plain_formula(
    trained: HashingNetwork, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training("crdat", trained, data, code=0.8, feature=2.5)
    run.run_epoch()  # now teacher and student differ
    run.set_mode()
    images = data.batch(data.train[:32]).float() / 255
    attacked = (images + 0.1 * torch.randn(images.shape)).clamp(0, 1)
    guides: list[Tensor] = []

    def maximise(_: Tensor, codes: Tensor) -> Tensor:
        guides.append(codes)
        return attacked

    monkeypatch.setattr(run, "inner_maximisation", maximise)
    index = torch.arange(32)
    loss = run.batch_loss(images, run.train_labels[index], index)

    hidden, clean = hidden_and_features(trained, images)
    student_hidden, features = hidden_and_features(run.network, attacked)
    np.testing.assert_array_equal(guides[0].numpy(), reference.sign(clean))
    plain = reference_defenses.crdat_loss(features, student_hidden, clean, hidden, (0.8, 2.5))
    assert float(loss.detach()) == pytest.approx(plain, rel=1e-5)
    loss.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in run.network.parameters())


def hidden_and_features(network: HashingNetwork, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """By hand: everything up to the backbone's last layer, and the rest."""
    network.eval()
    with torch.no_grad():
        hidden: Any = network.backbone((images - network.mean) / network.std)
        features = network.code_norm(network.hash_layer(hidden))
    return hidden.double().numpy(), features.double().numpy()


def test_represent_gives_the_networks_own_features_and_leaves_no_hook(
    trained: HashingNetwork,
) -> None:
    images = torch.rand(3, 3, toy.SIZE, toy.SIZE)
    trained.eval()
    hidden, features = represent(trained, images)
    assert hidden.shape == (3, 128)
    assert torch.equal(features, trained(images))
    assert not trained.backbone._forward_hooks  # noqa: SLF001  torch has no public name for them


def test_the_teacher_stays_as_pretrained(trained: HashingNetwork, data: RetrievalData) -> None:
    run = training("crdat", trained, data)
    before = toy.snapshot(trained)
    run.run_epoch()
    assert not toy.differences(before, toy.snapshot(run.teacher))
    assert toy.differences(before, toy.snapshot(run.network))
    assert not run.teacher.training
    assert not any(p.requires_grad for p in run.teacher.parameters())
    assert "teacher" not in run.modules()


def test_labels_are_not_used(trained: HashingNetwork, data: RetrievalData) -> None:
    runs = [training("crdat", trained, data) for _ in range(2)]
    runs[1].train_labels = 1 - runs[1].train_labels
    assert runs[0].run_epoch() == runs[1].run_epoch()
