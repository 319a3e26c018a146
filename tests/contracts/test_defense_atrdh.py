"""ATRDH's targets and losses, and its prototype network's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.codes import sign
from saat.data import RetrievalData
from saat.models import HashingNetwork, encode
from tests import reference, reference_defenses, reference_learned, toy
from tests.contracts.defense_runs import training


def test_batch_loss_equals_the_plain_formula(
    trained: HashingNetwork, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training("atrdh", trained, data, adversarial=1.5, original=0.7)
    run.set_mode()
    index = torch.arange(3, 35)
    images = data.batch(data.train[index.numpy()]).float() / 255
    attacked = (images + 0.1 * torch.randn(images.shape)).clamp(0, 1)
    guides: list[Tensor] = []
    targets: list[Tensor] = []

    def maximise(_: Tensor, codes: Tensor) -> Tensor:
        guides.append(codes)
        return attacked

    monkeypatch.setattr(run, "inner_maximisation", maximise)
    run.prototypes.register_forward_pre_hook(lambda _, given: targets.append(given[0]))
    run.memory.copy_(torch.rand(run.memory.shape) * 2 - 1)  # stale on purpose
    memory = run.memory.clone().numpy()
    stale = {"memory": run.objective.memory.clone().numpy()}
    labels = data.labels[data.train]

    loss = run.batch_loss(images, run.train_labels[index], index)

    both = torch.cat([images, attacked])
    benign, moved = (
        encode(run.network, lambda part: 255 * both[part], 64).numpy().reshape(2, 32, -1)
    )
    memory[index] = np.tanh(benign)
    np.testing.assert_allclose(run.memory.numpy(), memory, atol=1e-6)
    (target,) = targets
    with torch.no_grad():
        prototypes = run.prototypes(target)
    assert torch.equal(guides[0], -sign(prototypes))  # away from −h is towards h
    plain = (
        0.7 * reference.dph_loss(benign, labels[index], index.numpy(), stale, labels)
        + 1.5 * reference_defenses.atrdh_adversarial(moved, labels[index], memory, labels)
        + reference_learned.circle_loss(
            prototypes.numpy(), target.numpy(), reference.sign(memory), labels
        )
        + reference_learned.quantisation(prototypes.numpy())
    )
    assert float(loss.detach()) == pytest.approx(plain, rel=1e-5)


def test_targets_are_the_label_vectors_of_the_training_set_drawn_anew(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training("atrdh", trained, data)
    drawn: list[Tensor] = []
    run.prototypes.register_forward_pre_hook(lambda _, given: drawn.append(given[0]))
    run.run_epoch()
    run.run_epoch()
    expected = {tuple(row) for row in data.labels[data.train] if row.any()}
    assert {tuple(int(v) for v in row) for row in torch.cat(drawn)} == expected
    assert not torch.equal(drawn[0], drawn[3])


def test_an_epoch_trains_both_networks(trained: HashingNetwork, data: RetrievalData) -> None:
    run = training("atrdh", trained, data)
    before = {name: toy.snapshot(module) for name, module in run.modules().items()}
    run.run_epoch()
    for name in ("network", "prototypes"):
        moved = toy.differences(before[name], toy.snapshot(run.modules()[name]))
        assert {key for key, _ in run.modules()[name].named_parameters()} <= set(moved)
    assert run.memory.shape == (len(data.train), toy.BITS)
