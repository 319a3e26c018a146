"""The loop shared by pretraining and adversarial training."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saat import tensor_file
from saat.data import RetrievalData
from saat.defenses import DEFENSES, SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES
from saat.optimiser_settings import OptimiserSettings
from saat.pretrain import Pretraining, PretrainSettings
from saat.tensor_file import CorruptFile
from saat.training import TrainingFailed, split_into_batches
from tests import toy
from tests.contracts.defense_runs import state, training
from tests.saat.data.samples import input_error

DATA = toy.toy_data()


def pretraining(epochs: int = 4, lr: float = 0.02, seed: int = 0, batch_size: int = 32):
    settings = PretrainSettings(epochs=epochs, lr=lr, batch_size=batch_size)
    return Pretraining(toy.toy_network(), toy.toy_objective(DATA), DATA, settings, seed)


def test_pretraining_defaults_are_the_published_ones() -> None:
    assert toy.options(PretrainSettings()) == {
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
    run.optimiser.register_step_pre_hook(
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
    tensor_file.save(tmp_path / "checkpoint", *first.state({}))
    torch.manual_seed(999)
    second = pretraining()
    second.restore(tmp_path / "checkpoint")
    assert not toy.differences(state(first), state(second))
    assert [*start, second.run_epoch(), second.run_epoch()] == losses
    assert not toy.differences(state(whole), state(second))
    assert any(float(v.abs().sum()) > 0 for k, v in state(second).items() if "momentum" in k)


@pytest.mark.parametrize(
    ("rows", "batch_size", "lengths"),
    [
        (65, 32, [32, 33]),
        (64, 32, [32, 32]),
        (66, 32, [32, 32, 2]),
        (33, 32, [33]),
        (3, 2, [3]),
        (5, 4, [5]),
        (1, 32, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_last_batch_of_one_row_joins_the_batch_before(
    rows: int, batch_size: int, lengths: list[int]
) -> None:
    order = torch.randperm(rows)
    batches = split_into_batches(order, batch_size)
    assert [len(batch) for batch in batches] == lengths
    assert torch.equal(torch.cat(batches), order)


def first_rows(count: int) -> RetrievalData:
    return dataclasses.replace(DATA, train=DATA.train[:count])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_pretraining_survives_one_image_more_than_whole_batches(objective: str) -> None:
    data = first_rows(33)
    settings = PretrainSettings(epochs=2, lr=0.02, batch_size=16)
    run = Pretraining(toy.toy_network(), toy.toy_objective(data, objective), data, settings, 0)
    while not run.finished:
        assert math.isfinite(run.run_epoch()["train/loss"])


@pytest.mark.parametrize("name", DEFENSES)
def test_every_defense_survives_one_image_more_than_whole_batches(name: str) -> None:
    run = training(name, toy.toy_network(), first_rows(17), batch_size=16)
    assert math.isfinite(run.run_epoch()["train/loss"])


@pytest.mark.parametrize(("rows", "batch_size"), [(8, 1), (1, 8)])
def test_batches_of_one_image_are_refused_where_batch_norm_needs_two(
    rows: int, batch_size: int
) -> None:
    data = first_rows(rows)
    settings = PretrainSettings(batch_size=batch_size)
    run = Pretraining(toy.toy_network(), toy.toy_objective(data), data, settings, 0)
    before = state(run)
    message = input_error(run.run_epoch)
    assert (
        f"batch_size {batch_size}, {rows} training images: batch norm needs at least 2" in message
    )
    assert not toy.differences(before, state(run))


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_freezes_batch_norm_and_takes_batches_of_one_image(name: str) -> None:
    run = training(name, toy.toy_network(), first_rows(3), batch_size=1)
    assert math.isfinite(run.run_epoch()["train/loss"])


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
    tensor_file.save(tmp_path / "checkpoint", *pretraining().state({}))
    defense = SaatTraining(
        toy.toy_network(), toy.toy_objective(DATA), DATA, SaatSettings(epochs=1), seed=0
    )
    with pytest.raises(CorruptFile, match="stage pretrain"):
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
    tensor_file.save(tmp_path / "checkpoint", *whole.state({}))
    torch.rand(3)  # whatever was drawn in between
    second.restore(tmp_path / "checkpoint")
    second.run_epoch()
    whole.run_epoch()
    assert torch.equal(torch.stack(second.drawn), torch.stack(whole.drawn[2:]))
