"""Every registered hashing objective: finite, equal to its plain formula, and able to learn."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from saat import tensor_file
from saat.data import RetrievalData
from saat.defenses import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES, CodeMemory, HashingObjective
from saat.models import codes_of, encode
from saat.pretrain import Pretraining, PretrainSettings
from saat.retrieval import chance_average_precision, mean_average_precision
from tests import toy
from tests.reference_objectives import OBJECTIVE_LOSSES
from tests.saat.data.samples import input_error

every_objective = pytest.mark.parametrize("name", OBJECTIVES)

# Those that compare a batch with the codes of all training items.
MEMORIES = {name: kind for name, kind in OBJECTIVES.items() if issubclass(kind, CodeMemory)}
every_memory = pytest.mark.parametrize("name", MEMORIES)

# Those that draw every image to a target of its own labels.
TARGETS = ["csq", "dpn", "ortho"]

LABELS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 1]])
INDEX = torch.tensor([4, 0, 2, 3])
UNLABELLED = 0  # row of INDEX


def features(rows: int, seed: int = 0, size: float = 1.0, bits: int = toy.BITS) -> Tensor:
    drawn = torch.randn(rows, bits, generator=torch.Generator().manual_seed(seed))
    return (size * drawn).requires_grad_(True)


def in_use(name: str, seed: int, bits: int = toy.BITS) -> HashingObjective:
    """An objective in float64 as training leaves it: no state at its first value."""
    objective = OBJECTIVES[name](LABELS, bits, seed).double()
    draws = torch.Generator().manual_seed(seed)
    for key, value in objective.state_dict().items():
        if key.startswith("norm.") and value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=draws) + 0.5)
        elif key == "memory":
            value.mul_(torch.rand(value.shape, generator=draws))
        elif key == "iterations":
            value.fill_(777)
    return objective


def seeded_loss(objective: HashingObjective, f: Tensor, labels: Tensor, index: Tensor) -> Tensor:
    """The loss with equal random draws at every call."""
    torch.manual_seed(0)
    loss: Tensor = objective(f, labels, index)
    return loss


def flips(f: Tensor) -> np.ndarray:
    """The coin flips of :func:`seeded_loss`."""
    torch.manual_seed(0)
    return np.where(torch.rand(f.shape, dtype=f.dtype).numpy() < 0.5, -1.0, 1.0)


@every_objective
@pytest.mark.parametrize("labels", [INDEX, INDEX[:, None], 2 * LABELS])
def test_class_indices_are_refused(name: str, labels: Tensor) -> None:
    assert "of class indices make torch.nn.functional.one_hot" in input_error(
        lambda: OBJECTIVES[name](labels, toy.BITS, 0)
    )


def test_every_objective_has_a_plain_formula() -> None:
    assert OBJECTIVE_LOSSES.keys() == OBJECTIVES.keys()


@every_objective
@pytest.mark.parametrize("bits", [toy.BITS, 8])
@pytest.mark.parametrize("index", [INDEX, torch.tensor([1]), torch.tensor([4, 5]), INDEX[:1]])
def test_the_loss_equals_its_plain_formula(name: str, bits: int, index: Tensor) -> None:
    for seed in range(5):
        objective = in_use(name, seed, bits)
        f = features(len(index), seed, bits=bits).detach().double()
        before = {key: value.numpy() for key, value in toy.snapshot(objective).items()}
        before["flips"] = flips(f)
        loss = seeded_loss(objective, f, LABELS[index].double(), index)
        expected = OBJECTIVE_LOSSES[name](
            f.numpy(), LABELS[index].numpy(), index.numpy(), before, LABELS.numpy()
        )
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-9)


@every_objective
@pytest.mark.parametrize("size", [0.0, 1.0, 50.0, 1e3])
@pytest.mark.parametrize("rows", [1, 4])
def test_loss_and_gradient_are_finite_even_for_rows_without_labels(
    name: str, size: float, rows: int
) -> None:
    # The last two: no pair is similar, every pair is.
    for labels in (LABELS, torch.zeros_like(LABELS), torch.ones_like(LABELS)):
        objective = OBJECTIVES[name](labels, toy.BITS, 0)
        index = INDEX[-rows:]
        f = features(rows, size=size)
        loss = objective(f, labels[index].float(), index)
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        loss.backward()
        assert f.grad is not None
        assert f.grad.isfinite().all()
        for parameter in objective.parameters():
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()
        assert all(value.isfinite().all() for value in objective.state_dict().values())


@pytest.mark.parametrize("name", TARGETS)
def test_a_row_without_labels_pulls_no_code_anywhere(name: str) -> None:
    labels = LABELS[INDEX].double()
    f = features(len(INDEX)).detach().double().requires_grad_(True)
    objective = in_use(name, 0)
    loss = objective(f, labels, INDEX)
    loss.backward()
    assert f.grad is not None
    assert torch.equal(f.grad[UNLABELLED], torch.zeros(toy.BITS))
    # Nor does it change what the others feel, or what the objective remembers.
    alone = f.detach()[1:].requires_grad_(True)
    other = in_use(name, 0)
    without = other(alone, labels[1:], INDEX[1:])
    without.backward()
    torch.testing.assert_close(loss, without, rtol=1e-12, atol=0)
    torch.testing.assert_close(f.grad[1:], alone.grad, rtol=1e-9, atol=1e-15)
    assert not toy.differences(toy.snapshot(objective), toy.snapshot(other))


@pytest.mark.parametrize("name", TARGETS)
def test_a_batch_without_labels_is_no_loss_and_no_pull(name: str) -> None:
    objective = in_use(name, 0)
    before = toy.snapshot(objective)
    f = features(3)
    loss = objective.float()(f, torch.zeros(3, 3), INDEX[:3])
    loss.backward()
    assert float(loss.detach()) == 0
    assert f.grad is not None
    assert not f.grad.any()
    assert not toy.differences(before, toy.snapshot(objective.double()))


@every_objective
def test_the_gradient_flows_through_the_batch_and_not_through_the_memory(name: str) -> None:
    objective = in_use(name, 0)
    labels = LABELS[INDEX].double()
    f = features(len(INDEX)).detach().double().requires_grad_(True)
    seeded_loss(objective, f, labels, INDEX).backward()
    held = getattr(objective, "memory", torch.zeros(())).clone()
    # From here on the memory stays as it is, at the batch's own features.
    objective.remember = lambda *_: None  # type: ignore[assignment]
    assert f.grad is not None
    for row, bit in ((0, 0), (1, 5), (2, toy.BITS - 1), (3, 3)):
        step = torch.zeros_like(f)
        step[row, bit] = 1e-6
        with torch.no_grad():
            ahead = seeded_loss(objective, f + step, labels, INDEX)
            behind = seeded_loss(objective, f - step, labels, INDEX)
        assert float(f.grad[row, bit]) == pytest.approx(float(ahead - behind) / 2e-6, abs=1e-7)
    assert torch.equal(getattr(objective, "memory", torch.zeros(())), held)


@every_memory
def test_memory_is_overwritten_for_the_batch_alone_and_carries_no_gradient(name: str) -> None:
    objective = MEMORIES[name](LABELS, toy.BITS, 0)
    before = objective.memory.clone()
    f = features(len(INDEX))
    objective(f, LABELS[INDEX].float(), INDEX)
    assert torch.equal(objective.memory[INDEX], objective.codes(f.detach()))
    others = [row for row in range(len(LABELS)) if row not in INDEX.tolist()]
    assert torch.equal(objective.memory[others], before[others])
    assert not objective.memory.requires_grad


@every_memory
def test_memory_starts_at_seeded_signs_and_can_take_over_features(name: str) -> None:
    first, same, other = (MEMORIES[name](LABELS, toy.BITS, seed) for seed in (0, 0, 1))
    assert set(first.memory.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(first.memory, same.memory)
    assert not torch.equal(first.memory, other.memory)
    f = features(len(LABELS)).detach()
    first.start_from(f)
    assert torch.equal(first.memory, first.codes(f))


@every_memory
def test_memory_is_saved_with_the_model_and_labels_are_not(name: str) -> None:
    state = MEMORIES[name](LABELS, toy.BITS, 0).state_dict()
    assert "memory" in state
    assert "labels" not in state


@every_objective
def test_equal_seeds_give_equal_objectives(name: str) -> None:
    first, same, other = (toy.snapshot(OBJECTIVES[name](LABELS, toy.BITS, s)) for s in (3, 3, 4))
    assert not toy.differences(first, same)
    assert toy.differences(first, other)


def pretraining(name: str, data: RetrievalData, seed: int, epochs: int) -> Pretraining:
    network = toy.toy_network(seed=1)
    objective = toy.toy_objective(data, name, seed)
    return Pretraining(network, objective, data, PretrainSettings(epochs=epochs, lr=0.02), seed=0)


@every_objective
def test_all_an_objective_draws_or_learns_is_restored_with_the_model(
    name: str, data: RetrievalData, tmp_path: Path
) -> None:
    first = pretraining(name, data, seed=0, epochs=2)
    first.run_epoch()
    tensor_file.save(tmp_path / "checkpoint", *first.state({}))
    second = pretraining(name, data, seed=8, epochs=2)  # draws other targets at first
    second.restore(tmp_path / "checkpoint")
    assert first.run_epoch() == second.run_epoch()
    assert not toy.differences(toy.snapshot(first.objective), toy.snapshot(second.objective))


@every_objective
@pytest.mark.parametrize("seed", [0, 1])
def test_training_lowers_the_loss_and_lifts_map_well_above_chance(
    name: str, seed: int, data: RetrievalData
) -> None:
    training = pretraining(name, data, seed, epochs=5)
    losses = [training.run_epoch()["train/loss"] for _ in range(training.settings.epochs)]
    assert training.finished
    assert losses[-1] < 0.8 * losses[0]

    rows = data.test[np.asarray(data.labels[data.test]).any(1)]
    labels, database = data.label_tensor(rows), data.label_tensor(data.database)
    codes = [
        codes_of(encode(training.network, lambda part, w=which: data.batch(w[part]), len(which)))  # type: ignore[misc]
        for which in (rows, data.database)
    ]
    found = mean_average_precision(codes[0], labels, codes[1], database, top_k=50)
    assert found > float(chance_average_precision(labels, database, 50).mean()) + 0.3


@every_objective
def test_adversarial_training_goes_on_from_there(name: str, data: RetrievalData) -> None:
    before = pretraining(name, data, seed=0, epochs=1)
    before.run_epoch()
    run = SaatTraining(before.network, before.objective, data, SaatSettings(epochs=1, steps=2), 0)
    assert math.isfinite(run.run_epoch()["train/loss"])
