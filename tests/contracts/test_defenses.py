"""Every registered defense: published defaults, restored runs, manners; and SAAT's own loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saat.data import HashingData
from saat.defenses import DEFENSES, SaatSettings, SaatTraining
from saat.mainstay import MainstayCodes
from saat.models import HashingNetwork, encode
from saat.settings import items
from saat.training import TrainingFailed
from tests import reference, toy

every_defense = pytest.mark.parametrize("name", DEFENSES)

PUBLISHED: dict[str, dict[str, Any]] = {
    "saat": {
        "epochs": 20,
        "lr": 0.05,
        "momentum": 0.0,
        "weight_decay": 1e-5,
        "batch_size": 32,
        "lambda": 1.0,
        "mu": 1e-4,
        "eps": 8 / 255,
        "steps": 7,
        "step_size": 2 / 255,
        "weights": "saat",
    },
}


def training(
    name: str, network: HashingNetwork, data: HashingData, seed: int = 0, **changes: Any
) -> SaatTraining:
    """A defense on a copy of ``network``; four short epochs unless changed."""
    entry = DEFENSES[name]
    settings = replace(entry.settings(), **{"epochs": 4, "steps": 2, **changes})
    copy = toy.toy_network(seed=9)
    copy.load_state_dict(network.state_dict())
    run = entry.training(copy, toy.toy_objective(data), data, settings, seed)
    assert isinstance(run, SaatTraining)
    return run


@every_defense
def test_defaults_are_the_published_ones(name: str) -> None:
    assert dict(items(DEFENSES[name].settings())) == PUBLISHED[name]


@every_defense
def test_fields_that_make_up_the_published_setting_exist(name: str) -> None:
    assert set(DEFENSES[name].settings.published) <= PUBLISHED[name].keys()
    assert DEFENSES[name].description


@every_defense
def test_an_epoch_moves_weights_and_reports_a_finite_loss(
    name: str, trained: HashingNetwork, data: HashingData
) -> None:
    run = training(name, trained, data)
    before = toy.snapshot(run.network)
    seen: list[tuple[int, int]] = []
    metrics = run.run_epoch(lambda done, count: seen.append((done, count)))
    assert np.isfinite(metrics["train/loss"])
    assert metrics["train/lr"] == run.settings.lr
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "hash_layer.weight" in toy.differences(before, toy.snapshot(run.network))


@every_defense
def test_batch_statistics_stay_as_pretrained(
    name: str, trained: HashingNetwork, data: HashingData
) -> None:
    run = training(name, trained, data)
    before = toy.snapshot(run.network)
    run.run_epoch()
    changed = toy.differences(before, toy.snapshot(run.network))
    assert not [key for key in changed if "running_" in key or "num_batches" in key]


@every_defense
def test_dropout_is_on_while_training(
    name: str, trained: HashingNetwork, data: HashingData
) -> None:
    run = training(name, trained, data)
    run.network.backbone.head.append(nn.Dropout(0.5))  # type: ignore[union-attr, operator]
    run.network.eval()
    run.set_mode()
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    assert not torch.equal(run.network(images), run.network(images))


@every_defense
def test_sign_codes_stay_signs_and_apart_from_the_objectives_memory(
    name: str, trained: HashingNetwork, data: HashingData
) -> None:
    run = training(name, trained, data)
    run.run_epoch()
    memory = run.objective.memory
    assert isinstance(memory, Tensor)
    assert set(run.mainstay.codes.unique().tolist()) == {-1, 1}
    assert run.mainstay.codes.data_ptr() != memory.data_ptr()
    assert float(memory.abs().max()) < 1  # relaxed, not signs
    # Every row was in a batch, and both were refreshed from the same features.
    assert torch.equal(run.mainstay.codes.float(), reference_sign(memory))
    built_anew = MainstayCodes(run.mainstay.codes, run._labels, run.saat.weights)
    everyone = torch.arange(len(memory))
    assert torch.equal(run.mainstay.of_rows(everyone), built_anew.of_rows(everyone))


def reference_sign(values: Tensor) -> Tensor:
    return torch.from_numpy(reference.sign(values.numpy())).float()


def state(run: SaatTraining) -> dict[str, Tensor]:
    return {
        **{f"network.{key}": value for key, value in toy.snapshot(run.network).items()},
        **{f"objective.{key}": value for key, value in toy.snapshot(run.objective).items()},
        "codes": run.mainstay.codes.clone(),
        "sums": run.mainstay._sums.clone(),
    }


@every_defense
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_restored_run_equals_one_that_was_never_interrupted(
    name: str, momentum: float, trained: HashingNetwork, data: HashingData, tmp_path: Path
) -> None:
    whole = training(name, trained, data, momentum=momentum)
    losses = [whole.run_epoch() for _ in range(4)]

    first = training(name, trained, data, momentum=momentum)
    start = [first.run_epoch(), first.run_epoch()]
    first.save(tmp_path / "checkpoint", {"trial": "x"})
    torch.manual_seed(12345)  # another process has another state
    second = training(name, toy.toy_network(seed=7), data, momentum=momentum)
    assert second.restore(tmp_path / "checkpoint")["trial"] == "x"
    assert second.epoch == 2
    assert not toy.differences(state(first), state(second))
    rest = [second.run_epoch(), second.run_epoch()]

    assert second.finished
    assert [*start, *rest] == losses
    assert not toy.differences(state(whole), state(second))


@every_defense
def test_seeds_decide_the_run(name: str, trained: HashingNetwork, data: HashingData) -> None:
    runs = [training(name, trained, data, seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        run.run_epoch()
    assert not toy.differences(state(runs[0]), state(runs[1]))
    assert toy.differences(state(runs[0]), state(runs[2]))


@every_defense
def test_a_loss_that_is_not_finite_fails_with_its_place(
    name: str, trained: HashingNetwork, data: HashingData
) -> None:
    exploding = training(name, trained, data, lr=1e30)
    with pytest.raises(TrainingFailed, match=rf"{name} loss is (nan|inf) in epoch 1; lower lr"):
        exploding.run_epoch()
    poisoned = training(name, trained, data)
    with torch.no_grad():
        poisoned.network.hash_layer.weight[0, 0] = float("nan")
    with pytest.raises(TrainingFailed, match="in epoch 1"):
        poisoned.run_epoch()


@every_defense
def test_training_makes_the_network_harder_to_move(
    name: str, trained: HashingNetwork, data: HashingData
) -> None:
    run = training(name, trained, data, epochs=8, steps=5, eps=24 / 255, step_size="auto")
    undefended = training(name, trained, data, steps=5, eps=24 / 255, step_size="auto")

    def agreement(of: SaatTraining) -> float:
        """Mean u(x')·b after the inner maximisation."""
        torch.manual_seed(0)
        rows = torch.arange(len(data.train))
        images = data.batch(data.train).float() / 255
        mainstay = run.mainstay.of_rows(rows)
        of.network.eval()
        attacked = of.inner_maximisation(images, mainstay)
        with torch.no_grad():
            return float((torch.tanh(of.network(attacked)) * mainstay).mean())

    while not run.finished:
        run.run_epoch()
    assert agreement(run) > agreement(undefended) + 0.1


# SAAT's own loss, with the inner maximisation replaced by given adversarial images.


class Given:
    """One batch, its adversarial images, and a training whose sign codes are stale on purpose."""

    def __init__(
        self, network: HashingNetwork, data: HashingData, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run = training("saat", network, data, lambda_=1.7, mu=0.3)
        rng = np.random.default_rng(0)
        shape = (len(data.train), toy.BITS)
        self.codes = rng.choice([-1, 1], shape).astype(np.int8)
        self.memory = rng.uniform(-1, 1, shape).astype(np.float32)
        self.run.mainstay = MainstayCodes(torch.from_numpy(self.codes), self.run._labels)
        self.run.objective.memory.copy_(torch.from_numpy(self.memory))  # type: ignore[operator]
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
        return self.run.batch_loss(self.images, self.run._labels[self.index], self.index)

    def features(self, images: Tensor) -> np.ndarray:
        # Batch norm is frozen and there is no dropout: evaluation mode gives the same features.
        return encode(self.run.network, lambda part: 255 * images[part], len(images)).numpy()

    def mainstay(self, codes: np.ndarray) -> np.ndarray:
        labels = self.train_labels
        sums = np.stack(
            [reference.mainstay_sum(labels[i], codes, labels, "saat") for i in self.index]
        )
        # Sums of 0 are decided by rounding, in either formula: there, and only there, trust ours.
        ours = MainstayCodes(torch.from_numpy(codes), torch.from_numpy(labels))
        undecided = np.abs(sums) < 1e-9
        return np.where(undecided, ours.of_rows(self.index).numpy(), reference.sign(sums))


@pytest.fixture
def batch(trained: HashingNetwork, data: HashingData, monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(trained, data, monkeypatch)


def test_saat_batch_loss_equals_the_plain_formula(batch: Given) -> None:
    loss = float(batch.loss().detach())
    benign, attacked = batch.features(batch.images), batch.features(batch.attacked)
    fresh = batch.codes.copy()
    fresh[batch.index] = reference.sign(benign)
    labels, index = batch.train_labels, batch.index.numpy()
    original = reference.dph_loss(benign, labels[index], index, {"memory": batch.memory}, labels)
    plain, stale = (
        reference.saat_loss(attacked, batch.mainstay(codes), original, lambda_=1.7, mu=0.3)
        for codes in (fresh, batch.codes)
    )
    assert abs(plain - stale) > 1e-3  # the order of refreshing and guiding shows
    assert loss == pytest.approx(plain, rel=1e-5)


def test_saat_guides_the_inner_maximisation_by_the_codes_before_the_batch(batch: Given) -> None:
    batch.loss()
    (guide,) = batch.inner
    np.testing.assert_array_equal(guide.numpy(), batch.mainstay(batch.codes))
    fresh = batch.codes.copy()
    fresh[batch.index] = reference.sign(batch.features(batch.images))
    np.testing.assert_array_equal(batch.run.mainstay.codes.numpy(), fresh)


def test_saat_gradient_reaches_the_network_through_both_images(batch: Given) -> None:
    batch.loss().backward()
    for parameter in batch.run.network.parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().sum()) > 0


@pytest.mark.parametrize("steps", [1, 7])
def test_saat_inner_maximisation_stays_in_the_ball_and_leaves_the_mainstay_code(
    steps: int, trained: HashingNetwork, data: HashingData
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


def test_saat_inner_maximisation_starts_at_random(
    trained: HashingNetwork, data: HashingData
) -> None:
    run = training("saat", trained, data, steps=1, step_size=1e-9)
    images = torch.full((8, 3, toy.SIZE, toy.SIZE), 0.5)
    change = run.inner_maximisation(images, run.mainstay.of_rows(torch.arange(8))) - images
    assert float(change.abs().max()) > 7 / 255
    assert float(change.abs().mean()) == pytest.approx(4 / 255, rel=0.05)


def test_saat_step_size_auto_follows_radius_and_steps() -> None:
    assert SaatSettings().inner_step == 2 / 255
    assert SaatSettings(step_size="auto", eps=0.1, steps=5).inner_step == pytest.approx(0.05)
    assert SaatSettings(step_size="auto", eps=0.1, steps=100).inner_step == pytest.approx(0.025)


def test_saat_starts_from_the_pretrained_network(
    trained: HashingNetwork, data: HashingData
) -> None:
    run = training("saat", trained, data)
    features = encode(trained, lambda part: data.batch(data.train[part]), len(data.train))
    assert torch.equal(run.objective.memory, torch.tanh(features))  # type: ignore[arg-type]
    assert torch.equal(run.mainstay.codes.float(), reference_sign(features))
