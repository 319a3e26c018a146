"""Batches in parts: the step of the whole batch, up to rounding, with fewer images at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saat.defenses import DEFENSES
from saat.hashing import OBJECTIVES
from saat.micro_batches import in_parts, joined, parts
from saat.models import HashingNetwork
from saat.pretrain import Pretraining, PretrainSettings
from saat.training import Training
from tests import toy
from tests.contracts.defense_runs import MINIMAX, state, training

DATA = toy.toy_data()
BATCH = 24  # four steps an epoch


@pytest.fixture(scope="module")
def trained() -> HashingNetwork:
    """A briefly pretrained network; tests must leave it as it is."""
    return toy.pretrained(DATA)


class Plain(nn.Module):
    """A backbone without batch norm, which alone makes a part differ from the whole."""

    features_out = 20
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    from_scratch = False

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 8, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(128, 20)]
        self.body = nn.Sequential(*layers, nn.Tanh(), nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.body(images)
        return out


def plain_network(dropout: float = 0.0) -> HashingNetwork:
    torch.manual_seed(3)
    return HashingNetwork(Plain(dropout), toy.BITS)


def pretraining(
    network: HashingNetwork, objective: str = "dph", physical: int | None = None
) -> Pretraining:
    settings = PretrainSettings(epochs=2, lr=0.05, batch_size=BATCH)
    run = Pretraining(network, toy.toy_objective(DATA, objective), DATA, settings, seed=0)
    split(run, physical)
    return run


def split(run: Any, physical: int | None) -> Any:
    if physical is not None:
        run.split_batches(physical)
    return run


@contextmanager
def batch_sizes(*modules: nn.Module) -> Iterator[list[int]]:
    """Images in every pass of the modules."""
    seen: list[int] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
        for module in modules
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def gradients(module: nn.Module) -> dict[str, Tensor]:
    found = {f"grad.{name}": parameter.grad for name, parameter in module.named_parameters()}
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


def close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Equal up to the rounding of float32 sums in another order."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize("physical", [1, 5, 12, 23])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_gives_the_gradient_of_the_whole_batch(
    objective: str, physical: int
) -> None:
    grads, losses, states = [], [], []
    for size in (None, physical):
        run = pretraining(plain_network(), objective, size)
        run.set_mode()
        torch.manual_seed(0)  # HSWD flips coins
        with batch_sizes(run.network) as seen:
            losses.append(float(run.step(torch.arange(7, 7 + BATCH), 0.05)))
        assert max(seen) <= (size or BATCH)
        grads.append(gradients(nn.ModuleList([run.network, run.objective])))
        states.append(toy.snapshot(run.objective))
    assert len(grads[0]) >= 4
    assert all(float(grad.abs().max()) > 1e-4 for grad in grads[0].values())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    close(grads[1], grads[0])
    close(states[1], states[0])  # memories, counters, batch norm of codes


@pytest.mark.parametrize("physical", [7, 12])
@pytest.mark.parametrize("name", DEFENSES)
def test_every_defense_trains_as_on_whole_batches(
    name: str, physical: int, trained: HashingNetwork
) -> None:
    runs = [
        split(training(name, trained, DATA, batch_size=BATCH), size) for size in (None, physical)
    ]
    before = toy.snapshot(runs[0].defended)
    losses = [run.run_epoch()["train/loss"] for run in runs]
    assert len(toy.differences(before, toy.snapshot(runs[0].defended))) > 4
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    close(state(runs[1]), state(runs[0]))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_is_defended_as_on_whole_batches(
    objective: str, trained: HashingNetwork
) -> None:
    runs = [
        split(training("saat", trained, DATA, objective=objective, batch_size=BATCH), size)
        for size in (None, 10)
    ]
    losses = [run.run_epoch()["train/loss"] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    close(state(runs[1]), state(runs[0]))


@pytest.mark.parametrize("name", DEFENSES)
def test_no_more_images_pass_a_network_at_once(name: str, trained: HashingNetwork) -> None:
    run = split(training(name, trained, DATA, batch_size=BATCH), 7)
    networks = [m for key, m in run.modules().items() if key in ("network", "codec")]
    networks += [run.defended.codec.decoder] if name == "comdefend" else []
    networks += [run.teacher] if name == "crdat" else []
    with batch_sizes(*networks) as seen:
        run.run_epoch()
    assert seen
    assert max(seen) <= 7
    # Of equal length: 24 in four parts, 48 in seven; CA-TRIDE's 11 anchors in two.
    assert min(seen) >= (5 if name == "ca_tride" else 6)
    assert len(seen) > 2 * len(DATA.train) / 7  # the second pass, and the attack's


def test_a_batch_that_fits_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.rand(6, 2)
    seen: list[Tensor] = []

    def function(given: Tensor) -> Tensor:
        seen.append(given)
        return out

    out = torch.rand(6, 3)
    monkeypatch.setattr("saat.micro_batches.checkpoint", None)
    for size in (None, 6, 100):
        assert in_parts(function, (rows,), size, []) is out
        assert parts((rows,), size)[0][0] is rows
    assert all(given is rows for given in seen)
    assert joined([out]) is out


@pytest.mark.parametrize("name", DEFENSES)
def test_whole_batches_run_the_same_bits_with_a_physical_batch_that_holds_them(
    name: str, trained: HashingNetwork
) -> None:
    runs = [split(training(name, trained, DATA, batch_size=BATCH), size) for size in (None, 48)]
    losses = [run.run_epoch() for run in runs]
    assert losses[0] == losses[1]
    assert not toy.differences(state(runs[0]), state(runs[1]))


def test_a_split_training_takes_no_memory_for_its_images(trained: HashingNetwork) -> None:
    run = training("saat", trained, DATA)
    run.resident = torch.zeros(len(DATA.train), 3, toy.SIZE, toy.SIZE, dtype=torch.uint8)
    run.split_batches(16)
    assert run.resident is None


def test_parts_have_about_the_same_length_and_every_row_once() -> None:
    for count in range(1, 40):
        rows = torch.arange(count)
        for size in range(1, 45):
            split_rows = parts((rows, 2 * rows), size)
            lengths = [len(part) for part, _ in split_rows]
            assert max(lengths) <= size
            assert max(lengths) - min(lengths) <= 1
            assert torch.equal(torch.cat([part for part, _ in split_rows]), rows)
            assert all(torch.equal(2 * a, b) for a, b in split_rows)


def test_parts_are_no_shorter_than_asked_for() -> None:
    for count in range(2, 40):
        rows = torch.arange(count)
        for size in range(1, 45):
            lengths = [len(part) for (part,) in parts((rows,), size, least=2)]
            assert min(lengths) >= 2
            assert sum(lengths) == count
            if size >= 3:
                assert max(lengths) <= size


@pytest.mark.parametrize(("batch", "physical"), [(3, 2), (2, 1), (5, 1), (25, 24)])
def test_no_part_of_a_pretraining_batch_is_a_single_image(batch: int, physical: int) -> None:
    run = pretraining(toy.toy_network(), physical=physical)
    run.set_mode()
    with batch_sizes(run.network) as seen:
        run.step(torch.arange(batch), 0.01)
    assert min(seen) >= 2


def by_hand(network: nn.Module, images: Tensor, size: int) -> Tensor:
    """The parts one after the other, their graphs kept."""
    return torch.cat([network(part) for (part,) in parts((images,), size)])


def test_dropout_draws_the_same_masks_in_both_passes() -> None:
    images = torch.rand(24, 3, toy.SIZE, toy.SIZE)
    weights = torch.rand(24, toy.BITS)
    grads = []
    for split_it in (True, False):
        network = plain_network(dropout=0.5)
        torch.manual_seed(5)
        if split_it:
            features = in_parts(network, (images,), 7, [network])
        else:
            features = by_hand(network, images, 7)
        after = torch.rand(3)
        (features * weights).sum().backward()
        grads.append({**gradients(network), "draws after it": after})
    close(grads[0], grads[1])


def test_batch_norm_sees_parts_and_counts_each_once() -> None:
    images = torch.rand(24, 3, toy.SIZE, toy.SIZE)
    weights = torch.rand(24, toy.BITS)
    found = []
    for split_it in (True, False):
        network = toy.toy_network().train()
        if split_it:
            features = in_parts(network, (images,), 7, [network])
        else:
            features = by_hand(network, images, 7)
        (features * weights).sum().backward()
        found.append({**toy.snapshot(network), **gradients(network)})
        assert int(found[-1]["code_norm.num_batches_tracked"]) == 4
        assert network.code_norm.momentum == 0.1
    close(found[0], found[1])


def test_a_frozen_batch_norm_stays_as_it_is(trained: HashingNetwork) -> None:
    run = split(training("saat", trained, DATA, batch_size=BATCH), 7)
    before = toy.snapshot(run.network)
    run.run_epoch()
    moved = toy.differences(before, toy.snapshot(run.network))
    assert "hash_layer.weight" in moved
    assert not [key for key in moved if "running_" in key or "num_batches" in key]


def test_what_splitting_changes_is_told(trained: HashingNetwork) -> None:
    assert pretraining(toy.toy_network()).changed_by_splitting() == ["batch norm"]
    assert pretraining(plain_network(0.5)).changed_by_splitting() == ["dropout"]
    assert pretraining(plain_network(0.0)).changed_by_splitting() == []
    # The batch norm of OrthoHash sees the codes of the whole batch.
    assert pretraining(toy.toy_network(), "ortho").changed_by_splitting() == ["batch norm"]
    assert training("saat", trained, DATA, objective="ortho").changed_by_splitting() == []
    for name in MINIMAX:
        run: Training = training(name, trained, DATA)
        assert run.changed_by_splitting() == []
        run.network.backbone.head.append(nn.Dropout(0.1))  # type: ignore[operator, union-attr]
        assert run.changed_by_splitting() == ["dropout"]
    assert training("comdefend", trained, DATA).changed_by_splitting() == []
