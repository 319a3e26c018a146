"""Options that keep a training from a collapse: their formulas, and that they cost nothing."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from saat import tensor_file
from saat.data import RetrievalData
from saat.errors import InputError
from saat.models import HashingNetwork
from saat.stages import train
from tests import toy
from tests.contracts.defense_runs import MINIMAX, settings_of, state, training

every_minimax = pytest.mark.parametrize("name", MINIMAX)


def measured(clean: float, robust: float, chance: float = 0.0) -> dict[str, float]:
    """What validation measured after an epoch."""
    return {"val/clean_map": clean, "val/robust_map": robust, "val/chance_map": chance}


@every_minimax
def test_neutral_values_change_no_bit(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    """An unreachable norm, and a network that is validated but never replaced."""
    plain = training(name, trained, data)
    other = training(name, trained, data, clip_gradients=1e9, select="best")
    for run in (plain, other):
        assert run.average is None
        run.run_epoch()
        assert run.judge(measured(0.5, 0.5)).keys() == (
            set() if run is plain else {"train/best_epoch"}
        )
    kept = {key: part for key, part in state(other).items() if not key.startswith("best.")}
    assert not toy.differences(state(plain), kept)
    assert plain.best is None
    assert plain.defended is plain.network


@every_minimax
def test_the_radius_and_the_step_grow_to_full_size(
    name: str, trained: HashingNetwork, data: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training(name, trained, data, eps_warmup=2, eps=0.06, step_size=0.03)
    seen: list[tuple[float, float]] = []

    def pgd(_: nn.Module, images: Tensor, *given: Any, **__: Any) -> Any:
        seen.append((given[1].eps, given[3]))
        start = given[4]
        assert float((start - images).abs().max()) <= given[1].eps + 1e-6
        return type("Found", (), {"images": images})

    monkeypatch.setattr("saat.defenses.minimax.pgd", pgd)
    while not run.finished:
        run.run_epoch()
    shares = [1 / 3, 2 / 3, 1, 1]
    of_epochs = [epoch / 4 if name == "ca_tride" else 1 for epoch in range(4)]  # its own growth
    expected = [
        (0.06 * share, 0.03 * share * own)
        for share, own in zip(shares, of_epochs, strict=True)
        for _ in range(3)
    ]
    assert seen == [pytest.approx(pair) for pair in expected]
    assert seen[-1] == (0.06, 0.03 * of_epochs[-1])


@every_minimax
def test_gradients_are_clipped_by_their_norm_before_the_step(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    """With plain SGD the step is −rate · gradient · min(1, most/norm)."""
    most = 1e-3
    moved = []
    runs: list[dict[str, Any]] = [{}, {"clip_gradients": most}]
    for changes in runs:
        run = training(name, trained, data, **changes)
        plain = torch.optim.SGD(run.network.parameters(), lr=0.1)
        run.optimiser = plain
        before = [part.detach().clone() for part in run.network.parameters()]
        torch.manual_seed(0)
        run.set_mode()
        run.step(torch.arange(32), 0.1)
        after = run.network.parameters()
        moved.append(torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)]))
    gradient = moved[0].detach() / -0.1
    assert float(gradient.norm()) > 10 * most
    torch.testing.assert_close(
        moved[1].detach(), -0.1 * gradient * most / gradient.norm(), rtol=1e-2, atol=1e-7
    )


@every_minimax
def test_the_averaged_network_is_deployed_and_the_training_does_not_see_it(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    plain, averaged = training(name, trained, data), training(name, trained, data, ema=0.9)
    weights = [trained.hash_layer.weight.detach().clone()]
    network = averaged.network
    averaged.optimiser.register_step_post_hook(
        lambda *_: weights.append(network.hash_layer.weight.detach().clone())
    )
    for run in (plain, averaged):
        run.run_epoch()
        run.run_epoch()
    assert not toy.differences(toy.snapshot(plain.network), toy.snapshot(network))
    expected = weights[0]
    for step, weight in enumerate(weights[1:]):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert averaged.defended is not network
    torch.testing.assert_close(averaged.defended.hash_layer.weight, expected)
    kept = dict(averaged.defended.named_buffers())
    assert all(torch.equal(kept[key], part) for key, part in network.named_buffers())
    assert averaged.train_codes() is None, "the codes of visits are the other network's"
    assert not type(averaged).keeps_codes(averaged.settings)
    assert type(plain).keeps_codes(plain.settings) == (plain.train_codes() is not None)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_epoch_with_the_largest_product_of_both_maps_is_deployed(
    ema: float, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training("saat", trained, data, select="best", ema=ema, epochs=5)
    found, weights = [], []
    for clean, robust in [(0.9, 0.1), (0.6, 0.5), (0.5, 0.55), (0.5, 0.6), (math.nan, 1.0)]:
        run.run_epoch()
        found.append(run.judge(measured(clean, robust)))
        weights.append(toy.snapshot(run.defended))
    assert [list(metrics.values()) for metrics in found] == [[1], [2], [2], [2], [2]]
    assert toy.differences(weights[1], weights[4])
    run.conclude()
    assert not toy.differences(weights[1], toy.snapshot(run.defended))


def test_an_epoch_at_chance_is_not_the_best_one(
    trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training("saat", trained, data, select="best", epochs=3)
    # A collapse on photographs: attacks push the first network below chance, the others nowhere.
    for clean, robust in [(0.304, 0.111), (0.227, 0.220), (0.219, 0.208)]:
        run.run_epoch()
        found = run.judge(measured(clean, robust, chance=0.213))
    assert found == {"train/best_epoch": 1}


@pytest.mark.lengthy
@every_minimax
def test_a_restored_run_with_all_of_them_equals_one_that_was_never_interrupted(
    name: str, trained: HashingNetwork, data: RetrievalData, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "eps_warmup": 2, "clip_gradients": 0.5, "ema": 0.9, "select": "best"
    }  # fmt: skip
    scores = [0.3, 0.4, 0.2, 0.1]

    def go_on(run: Any, epochs: int) -> None:
        for _ in range(epochs):
            run.run_epoch()
            run.judge(measured(1.0, scores[run.epoch - 1]))

    whole = training(name, trained, data, **options)
    go_on(whole, 4)
    first = training(name, trained, data, **options)
    go_on(first, 2)
    tensor_file.save(tmp_path / "checkpoint", *first.state({}))
    second = training(name, toy.toy_network(seed=7), data, **options)
    second.restore(tmp_path / "checkpoint")
    assert (second.best.epoch, second.best.score) == (2, 0.4)
    go_on(second, 2)
    assert not toy.differences(state(whole), state(second))
    for run in (whole, second):
        run.conclude()
    assert not toy.differences(state(whole), state(second))


def test_the_library_has_no_validation_to_select_by(data: RetrievalData) -> None:
    with pytest.raises(InputError, match=r"defense\.select: best: needs validation queries"):
        train(data, bits=toy.BITS, pretrain_epochs=1, options={"select": "best"})


def test_defaults_are_off() -> None:
    for name in MINIMAX:
        settings: Any = settings_of(name)
        assert (settings.eps_warmup, settings.clip_gradients, settings.ema) == (0, 0, 0)
        assert settings.select == "last"
