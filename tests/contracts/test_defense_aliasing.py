"""The switch that repeats an accident of the reference implementations: shared storage of codes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data import RetrievalData
from saat.mainstay import MainstayCodes
from saat.models import HashingNetwork, encode
from tests import reference, reference_defenses
from tests.contracts.defense_runs import training


class Watched:
    """One epoch of a run with every batch's guide, features, loss."""

    def __init__(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[np.ndarray] = []
        self.guides: list[np.ndarray] = []
        self.features: list[np.ndarray] = []
        self.attacked: list[np.ndarray] = []
        self.losses: list[float] = []
        batch_loss, maximise = run.batch_loss, run.inner_maximisation

        def watched_loss(images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
            self.batches.append(index.numpy())
            hook = run.network.register_forward_hook(self._keep)
            loss: Tensor = batch_loss(images, labels, index)
            hook.remove()
            self.losses.append(float(loss.detach()))
            return loss

        def watched_maximise(images: Tensor, codes: Tensor) -> Tensor:
            self.guides.append(codes.numpy().copy())
            attacked: Tensor = maximise(images, codes)
            return attacked

        monkeypatch.setattr(run, "batch_loss", watched_loss)
        monkeypatch.setattr(run, "inner_maximisation", watched_maximise)
        run.run_epoch()

    def _keep(self, network: object, images: object, output: Tensor) -> None:
        if output.requires_grad and len(output) == 2 * len(self.batches[-1]):
            benign, attacked = output.detach().chunk(2)
            self.features.append(benign.numpy())
            self.attacked.append(attacked.numpy())


def decided(sums: np.ndarray) -> np.ndarray:
    """Where the sign of a sum does not hang on rounding."""
    known: np.ndarray = np.abs(sums) > 1e-6
    return known


@pytest.mark.parametrize("weights", ["saat", "cgat"])
def test_upstream_aliasing_is_the_reference_implementations_sequence(
    weights: str, trained: HashingNetwork, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"upstream_aliasing": True, "lambda_": 1.3}
    changes |= {"mu": 0.2} if weights == "saat" else {}
    run = training(weights, trained, data, **changes)
    run.network.double()
    run.objective.double()
    run.train_labels = run.train_labels.double()
    labels = data.labels[data.train]
    features = encode(trained, lambda part: data.batch(data.train[part]), len(labels)).numpy()
    shared = reference.sign(features)
    compared = 0
    np.testing.assert_array_equal(run.objective.memory.numpy(), shared)
    for epoch in range(2):
        seen = Watched(run, monkeypatch)
        assert len(seen.features) == 3
        plain = reference_defenses.aliased_epoch(
            shared, labels, seen.batches, seen.features, weights
        )
        shared = plain[-1].shared
        apart = 0
        for number, expected in enumerate(plain):
            known = decided(expected.guide)
            ours = seen.guides[number]
            np.testing.assert_array_equal(ours[known], reference.sign(expected.guide)[known])
            signs = reference_defenses.mainstay_sums(
                seen.batches[number], reference.sign(shared), labels, weights
            )
            apart += int((reference.sign(signs) != ours)[known].sum())
            assert decided(expected.target).mean() > 0.9
            loss = reference.saat_loss(
                seen.attacked[number],
                reference.sign(expected.target),
                expected.original,
                1.3,
                0.2 if weights == "saat" else 0.0,
            )
            if decided(expected.target).all():
                compared += 1
                assert seen.losses[number] == pytest.approx(loss, rel=1e-12)
        assert epoch == 0 or apart > 0  # without the accident other codes would guide
        np.testing.assert_allclose(run.objective.memory.numpy(), shared, atol=1e-12)
        np.testing.assert_allclose(run.mainstay.codes.numpy(), shared, atol=2.0**-31)
        monkeypatch.undo()
    assert compared >= 3


@pytest.mark.parametrize("objective", ["csq", "ortho"])
def test_upstream_aliasing_changes_nothing_where_nothing_is_shared(
    objective: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    runs = [
        training("saat", trained, data, objective=objective, upstream_aliasing=on)
        for on in (False, True)
    ]
    losses = [[run.run_epoch(), run.run_epoch()] for run in runs]
    assert losses[0] == losses[1]
    assert runs[1].mainstay.codes.dtype == torch.int8


@pytest.mark.parametrize(
    ("name", "objective"), [("saat", "dpn"), ("cgat", "dpn"), ("cgat", "csq"), ("cgat", "ortho")]
)
def test_codes_become_relaxed_where_the_reference_writes_them_beside_its_objective(
    name: str,
    objective: str,
    trained: HashingNetwork,
    data: RetrievalData,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = training(name, trained, data, objective=objective, upstream_aliasing=True)
    assert set(run.mainstay.codes.unique().tolist()) == {-1.0, 1.0}
    seen = Watched(run, monkeypatch)
    for index, features in zip(seen.batches, seen.features, strict=True):
        found = run.mainstay.codes[torch.from_numpy(index)].numpy()
        np.testing.assert_allclose(found, np.tanh(features), atol=1e-6)


def test_mainstay_codes_of_relaxed_codes_follow_updates_exactly() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((40, 4)) < 0.4).astype(np.uint8)

    def drawn(rows: int) -> np.ndarray:
        """Of all magnitudes: a sum of such numbers in float64 would depend on their order."""
        scale = 10.0 ** rng.uniform(-16, 0, (rows, 9))
        return np.tanh(scale * rng.normal(0, 1, (rows, 9))).astype(np.float32)

    codes = drawn(40)
    followed = MainstayCodes(torch.from_numpy(codes), torch.from_numpy(labels), "saat", True)
    for _ in range(50):
        rows = rng.permutation(40)[:7]
        codes[rows] = drawn(7)
        followed.update(torch.from_numpy(rows), torch.from_numpy(codes[rows]))
    anew = MainstayCodes(torch.from_numpy(codes), torch.from_numpy(labels), "saat", True)
    assert torch.equal(followed.sums, anew.sums)
    np.testing.assert_allclose(followed.codes.numpy(), codes, atol=2.0**-31)
    ours = followed.of_rows(torch.arange(40)).numpy()
    for row, label in zip(ours, labels, strict=True):
        plain = reference.mainstay_sum(label, codes, labels, "saat")
        known = decided(plain)
        np.testing.assert_array_equal(row[known], reference.sign(plain)[known])
