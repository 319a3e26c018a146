"""Every registered hashing objective: finite, equal to its plain formula, and able to learn."""

import numpy as np
import pytest
import torch
from torch import Tensor

from saat.data import HashingData
from saat.hashing import OBJECTIVES, CodeMemory
from saat.models import codes_of, encode
from saat.pretrain import Pretraining, PretrainSettings
from saat.retrieval import chance_average_precision, mean_average_precision
from tests import reference, toy

every_objective = pytest.mark.parametrize("name", OBJECTIVES)

# Those that compare a batch with the codes of all training items.
MEMORIES = {name: kind for name, kind in OBJECTIVES.items() if issubclass(kind, CodeMemory)}
every_memory = pytest.mark.parametrize("name", MEMORIES)

LABELS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 1]])
INDEX = torch.tensor([4, 0, 2])


def features(rows: int, seed: int = 0, size: float = 1.0) -> Tensor:
    drawn = torch.randn(rows, toy.BITS, generator=torch.Generator().manual_seed(seed))
    return (size * drawn).requires_grad_(True)


@every_objective
def test_the_loss_equals_its_plain_formula(name: str) -> None:
    for seed in range(5):
        objective = OBJECTIVES[name](LABELS, toy.BITS, seed)
        before = {key: value.numpy() for key, value in toy.snapshot(objective).items()}
        f = features(len(INDEX), seed)
        loss = objective(f, LABELS[INDEX].float(), INDEX)
        expected = reference.OBJECTIVE_LOSSES[name](
            f.detach().numpy(),
            LABELS[INDEX].numpy(),
            INDEX.numpy(),
            before,
            LABELS.numpy(),
        )
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


@every_objective
@pytest.mark.parametrize("size", [0.0, 1.0, 1e3])
def test_loss_and_gradient_are_finite_even_for_rows_without_labels(name: str, size: float) -> None:
    for labels in (LABELS, torch.zeros_like(LABELS)):
        objective = OBJECTIVES[name](labels, toy.BITS, 0)
        f = features(len(INDEX), size=size)
        loss = objective(f, labels[INDEX].float(), INDEX)
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
        assert f.grad is not None
        assert f.grad.isfinite().all()


@every_memory
def test_the_gradient_flows_through_the_batch_and_not_through_the_memory(name: str) -> None:
    objective = MEMORIES[name](LABELS, toy.BITS, 0).double()
    labels = LABELS[INDEX].double()
    f = features(len(INDEX)).detach().double().requires_grad_(True)
    objective(f, labels, INDEX).backward()
    held = objective.memory.clone()
    # From here on the memory stays as it is, at the batch's own features.
    objective.remember = lambda *_: None  # type: ignore[method-assign]
    assert f.grad is not None
    for row, bit in ((0, 0), (1, 5), (2, toy.BITS - 1)):
        step = torch.zeros_like(f)
        step[row, bit] = 1e-6
        with torch.no_grad():
            slope = objective(f + step, labels, INDEX) - objective(f - step, labels, INDEX)
        assert float(f.grad[row, bit]) == pytest.approx(float(slope) / 2e-6, abs=1e-7)
    assert torch.equal(objective.memory, held)


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
    first, same = (toy.snapshot(OBJECTIVES[name](LABELS, toy.BITS, 3)) for _ in range(2))
    assert not toy.differences(first, same)


@every_objective
def test_training_lowers_the_loss_and_lifts_map_well_above_chance(
    name: str, data: HashingData
) -> None:
    network = toy.toy_network(seed=1)
    objective = OBJECTIVES[name](data.label_tensor(data.train), toy.BITS, 0)
    settings = PretrainSettings(epochs=5, lr=0.02)
    training = Pretraining(network, objective, data, settings, seed=0)
    losses = [training.run_epoch()["train/loss"] for _ in range(settings.epochs)]
    assert training.finished
    assert losses[-1] < 0.8 * losses[0]

    rows = data.test[np.asarray(data.labels[data.test]).any(1)]
    labels, database = data.label_tensor(rows), data.label_tensor(data.database)
    codes = [
        codes_of(encode(network, lambda part, w=which: data.batch(w[part]), len(which)))  # type: ignore[misc]
        for which in (rows, data.database)
    ]
    found = mean_average_precision(codes[0], labels, codes[1], database, top_k=50)
    assert found > float(chance_average_precision(labels, database, 50).mean()) + 0.3
