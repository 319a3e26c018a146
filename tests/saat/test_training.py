"""The loop shared by pretraining and adversarial training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saat.checkpoint import CorruptCheckpoint
from saat.defenses import SaatSettings, SaatTraining
from saat.pretrain import Pretraining, PretrainSettings
from saat.settings import items
from saat.training import OptimiserSettings, TrainingFailed
from tests import toy

DATA = toy.toy_data()


def pretraining(epochs: int = 4, lr: float = 0.02, seed: int = 0, batch_size: int = 32):
    settings = PretrainSettings(epochs=epochs, lr=lr, batch_size=batch_size)
    return Pretraining(toy.toy_network(), toy.toy_objective(DATA), DATA, settings, seed)


def state(run: Pretraining) -> dict[str, Tensor]:
    optimiser = run._optimiser.state_dict()["state"]
    return {
        **toy.snapshot(run.network),
        **{f"objective.{key}": value for key, value in toy.snapshot(run.objective).items()},
        **{f"momentum.{n}": entry["momentum_buffer"].clone() for n, entry in optimiser.items()},
    }


def test_pretraining_defaults_are_the_published_ones() -> None:
    assert dict(items(PretrainSettings())) == {
        "epochs": 100,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "batch_size": 32,
    }


@pytest.mark.parametrize(
    ("settings", "drops"),
    [(PretrainSettings(lr=0.5), (34, 67)), (SaatSettings(lr=0.5), (50, 75))],
)
def test_the_rate_falls_tenfold_at_the_published_points(
    settings: OptimiserSettings, drops: tuple[int, int]
) -> None:
    for iteration in range(100):
        passed = sum(iteration >= drop for drop in drops)
        assert settings.lr_at(iteration, 100) == pytest.approx(0.5 * 0.1**passed)


def test_the_rate_follows_iterations_not_epochs() -> None:
    run = pretraining(epochs=1, lr=0.02)  # three batches: drops before the second and the third
    rates: list[float] = []
    run._optimiser.register_step_pre_hook(
        lambda optimiser, *_: rates.append(optimiser.param_groups[0]["lr"])
    )
    assert run.run_epoch()["train/lr"] == pytest.approx(0.02 * 0.01)
    assert rates == pytest.approx([0.02, 0.002, 0.0002])


def test_an_epoch_sees_every_image_once_with_its_own_label_in_a_new_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = pretraining(batch_size=20)
    seen: list[Tensor] = []
    original: Callable[[Tensor, Tensor, Tensor], Tensor] = run.batch_loss

    def spy(images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        rows = DATA.train[index.numpy()]
        assert torch.equal(images, DATA.batch(rows).float() / 255)
        assert torch.equal(labels, DATA.label_tensor(rows).float())
        seen.append(index)
        return original(images, labels, index)

    monkeypatch.setattr(run, "batch_loss", spy)
    run.run_epoch()
    assert [len(index) for index in seen] == [20, 20, 20, 20, 16]
    first = torch.cat(seen)
    assert sorted(first.tolist()) == list(range(96))
    seen.clear()
    run.run_epoch()
    assert not torch.equal(torch.cat(seen), first)


def test_pretraining_with_momentum_restored_equals_never_interrupted(tmp_path: Path) -> None:
    whole = pretraining()
    losses = [whole.run_epoch() for _ in range(4)]
    first = pretraining()
    start = [first.run_epoch(), first.run_epoch()]
    first.save(tmp_path / "checkpoint", {})
    torch.manual_seed(999)
    second = pretraining()
    second.restore(tmp_path / "checkpoint")
    assert not toy.differences(state(first), state(second))
    assert [*start, second.run_epoch(), second.run_epoch()] == losses
    assert not toy.differences(state(whole), state(second))
    assert any(float(v.abs().sum()) > 0 for k, v in state(second).items() if "momentum" in k)


def test_finished_counts_epochs() -> None:
    run = pretraining(epochs=1)
    assert not run.finished
    run.run_epoch()
    assert run.finished


def test_the_network_trains_in_training_mode() -> None:
    run = pretraining()
    run.network.eval()
    before = toy.snapshot(run.network)
    run.run_epoch()
    changed = toy.differences(before, toy.snapshot(run.network))
    assert "code_norm.running_mean" in changed


def test_a_checkpoint_of_another_stage_is_refused(tmp_path: Path) -> None:
    pretraining().save(tmp_path / "checkpoint", {})
    defense = SaatTraining(
        toy.toy_network(), toy.toy_objective(DATA), DATA, SaatSettings(epochs=1), seed=0
    )
    with pytest.raises(CorruptCheckpoint, match="stage pretrain"):
        defense.restore(tmp_path / "checkpoint")


def test_an_exploding_rate_fails_with_the_epoch() -> None:
    run = pretraining(lr=1e30)
    with pytest.raises(TrainingFailed, match=r"pretrain loss is (nan|inf) in epoch 1; lower lr"):
        run.run_epoch()


def test_train_features_are_those_of_the_training_rows_in_order() -> None:
    run = pretraining()
    features = run.train_features()
    run.network.eval()
    with torch.no_grad():
        expected = run.network(DATA.batch(DATA.train[:3]).float() / 255)
    torch.testing.assert_close(features[:3], expected, rtol=1e-4, atol=1e-5)
    assert features.shape == (96, toy.BITS)


class Drawing(Pretraining):
    """Draws from torch's global generator, as dropout and random starts do."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.drawn: list[Tensor] = []

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        self.drawn.append(torch.rand(8))
        return super().batch_loss(images, labels, index)


def drawing(seed: int = 0) -> Drawing:
    settings = PretrainSettings(epochs=3, lr=0.02, batch_size=48)
    return Drawing(toy.toy_network(), toy.toy_objective(DATA), DATA, settings, seed)


def test_every_batch_of_every_epoch_and_seed_draws_numbers_of_its_own() -> None:
    draws: list[Tensor] = []
    for seed in (0, 1):
        run = drawing(seed)
        while not run.finished:
            run.run_epoch()
        assert len(run.drawn) == 3 * 2
        draws += run.drawn
    assert len({tuple(draw.tolist()) for draw in draws}) == len(draws)


def test_another_stage_draws_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = drawing(), drawing()
    monkeypatch.setattr(second, "stage", "another")
    first.run_epoch()
    second.run_epoch()
    assert not torch.equal(first.drawn[0], second.drawn[0])


def test_a_restored_epoch_draws_the_numbers_of_the_undisturbed_one(tmp_path: Path) -> None:
    whole, second = drawing(), drawing()
    whole.run_epoch()
    whole.save(tmp_path / "checkpoint", {})
    torch.rand(3)  # whatever was drawn in between
    second.restore(tmp_path / "checkpoint")
    second.run_epoch()
    whole.run_epoch()
    assert torch.equal(torch.stack(second.drawn), torch.stack(whole.drawn[2:]))
