"""The loss and the inner maximisation that SAAT and CgAT share, and what differs."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data import RetrievalData
from saat.defenses import SaatSettings
from saat.mainstay import MainstayCodes
from saat.models import HashingNetwork, encode
from tests import reference, toy
from tests.contracts.defense_runs import training


@pytest.mark.parametrize("name", ["saat", "cgat"])
def test_sign_codes_stay_signs_and_apart_from_the_objectives_memory(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    run.run_epoch()
    memory = run.objective.memory
    assert run.mainstay.codes.dtype == torch.int8
    assert set(run.mainstay.codes.unique().tolist()) == {-1, 1}
    assert run.mainstay.codes.data_ptr() != memory.data_ptr()
    # Relaxed, not signs; far from 0 the tanh of float32 is exactly 1.
    assert float((memory.abs() < 1).float().mean()) > 0.9
    # Every row was in a batch, and both were refreshed from the same features.
    assert torch.equal(run.mainstay.codes.float(), reference_sign(memory))
    built_anew = MainstayCodes(run.mainstay.codes, run.train_labels, run.settings.weighting)
    everyone = torch.arange(len(memory))
    assert torch.equal(run.mainstay.of_rows(everyone), built_anew.of_rows(everyone))


def reference_sign(values: Tensor) -> Tensor:
    return torch.from_numpy(reference.sign(values.numpy())).float()


class Given:
    """One batch, its adversarial images, and a training whose sign codes are stale on purpose."""

    def __init__(
        self, run: Any, weights: str, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run = run
        self.weights = weights
        rng = np.random.default_rng(0)
        shape = (len(data.train), toy.BITS)
        self.codes = rng.choice([-1, 1], shape).astype(np.int8)
        self.memory = rng.uniform(-1, 1, shape).astype(np.float32)
        self.run.mainstay = MainstayCodes(
            torch.from_numpy(self.codes), run.train_labels, run.settings.weighting
        )
        self.run.objective.memory.copy_(torch.from_numpy(self.memory))
        self.train_labels = data.labels[data.train]
        self.index = torch.from_numpy(rng.permutation(len(data.train))[:32])
        self.images = data.batch(data.train[self.index.numpy()]).float() / 255
        noise = torch.from_numpy(rng.normal(0, 0.1, self.images.shape)).float()
        self.attacked = (self.images + noise).clamp(0, 1)
        self.inner: list[Tensor] = []
        monkeypatch.setattr(self.run, "inner_maximisation", self.maximise)
        self.run.set_mode()

    def maximise(self, images: Tensor, mainstay: Tensor) -> Tensor:
        assert torch.equal(images, self.images)
        self.inner.append(mainstay)
        return self.attacked

    def loss(self) -> Tensor:
        loss = self.run.batch_loss(self.images, self.run.train_labels[self.index], self.index)
        assert isinstance(loss, Tensor)
        return loss

    def features(self, images: Tensor) -> np.ndarray:
        # Batch norm is frozen and there is no dropout: evaluation mode gives the same features.
        return encode(self.run.network, lambda part: 255 * images[part], len(images)).numpy()

    def mainstay(self, codes: np.ndarray) -> np.ndarray:
        labels = self.train_labels
        return np.stack(
            [reference.mainstay_code(labels[i], codes, labels, self.weights) for i in self.index]
        )

    def fresh(self) -> np.ndarray:
        codes = self.codes.copy()
        codes[self.index] = reference.sign(self.features(self.images))
        return codes


@pytest.fixture(params=["saat", "cgat"])
def batch(
    request: pytest.FixtureRequest,
    trained: HashingNetwork,
    data: RetrievalData,
    monkeypatch: pytest.MonkeyPatch,
) -> Given:
    own: dict[str, Any] = {"mu": 0.3} if request.param == "saat" else {"augment": False}
    run = training(request.param, trained, data, lambda_=1.7, **own)
    return Given(run, request.param, data, monkeypatch)


def test_batch_loss_equals_the_plain_formula(batch: Given) -> None:
    loss = float(batch.loss().detach())
    benign, attacked = batch.features(batch.images), batch.features(batch.attacked)
    labels, index = batch.train_labels, batch.index.numpy()
    original = reference.dph_loss(benign, labels[index], index, {"memory": batch.memory}, labels)
    mu = 0.3 if batch.weights == "saat" else 0.0
    plain, stale = (
        reference.saat_loss(attacked, batch.mainstay(codes), original, lambda_=1.7, mu=mu)
        for codes in (batch.fresh(), batch.codes)
    )
    assert abs(plain - stale) > 1e-3  # the order of refreshing and guiding shows
    assert loss == pytest.approx(plain, rel=1e-5)


def test_codes_before_the_batch_guide_the_inner_maximisation(batch: Given) -> None:
    batch.loss()
    (guide,) = batch.inner
    np.testing.assert_array_equal(guide.numpy(), batch.mainstay(batch.codes))
    np.testing.assert_array_equal(batch.run.mainstay.codes.numpy(), batch.fresh())


def test_the_gradient_reaches_the_network_through_both_images(batch: Given) -> None:
    batch.loss().backward()
    for parameter in batch.run.network.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0


@pytest.mark.parametrize("steps", [1, 7])
def test_inner_maximisation_stays_in_the_ball_and_leaves_the_mainstay_code(
    steps: int, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training("saat", trained, data, steps=steps)
    run.set_mode()
    rows = torch.arange(32)
    images = data.batch(data.train[:32]).float() / 255
    mainstay = run.mainstay.of_rows(rows)
    trained_at: list[bool] = []
    hook = run.network.register_forward_pre_hook(
        lambda network, _: trained_at.append(any(p.requires_grad for p in network.parameters()))
    )
    attacked = run.inner_maximisation(images, mainstay)
    hook.remove()
    assert trained_at == [False] * steps  # one pass a step, gradients of the input alone
    assert float((attacked - images).abs().max()) <= 8 / 255 + 1e-6
    assert float(attacked.min()) >= 0
    assert float(attacked.max()) <= 1
    assert all(parameter.grad is None for parameter in run.network.parameters())
    assert all(parameter.requires_grad for parameter in run.network.parameters())
    with torch.no_grad():
        before, after = (
            (torch.tanh(run.network(x)) * mainstay).mean(1) for x in (images, attacked)
        )
    assert float((after < before).float().mean()) > 0.9


def test_inner_maximisation_starts_at_random(trained: HashingNetwork, data: RetrievalData) -> None:
    run = training("saat", trained, data, steps=1, step_size=1e-9)
    images = torch.full((8, 3, toy.SIZE, toy.SIZE), 0.5)
    change = run.inner_maximisation(images, run.mainstay.of_rows(torch.arange(8))) - images
    assert float(change.abs().max()) > 7 / 255
    assert float(change.abs().mean()) == pytest.approx(4 / 255, rel=0.05)


def test_step_size_auto_follows_radius_and_steps() -> None:
    assert SaatSettings().inner_step == 2 / 255
    assert SaatSettings(step_size="auto", eps=0.1, steps=5).inner_step == pytest.approx(0.05)
    assert SaatSettings(step_size="auto", eps=0.1, steps=100).inner_step == pytest.approx(0.025)


def test_saat_starts_from_the_pretrained_network(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training("saat", trained, data)
    features = encode(trained, lambda part: data.batch(data.train[part]), len(data.train))
    assert torch.equal(run.objective.memory, torch.tanh(features))
    assert torch.equal(run.mainstay.codes.float(), reference_sign(features))
