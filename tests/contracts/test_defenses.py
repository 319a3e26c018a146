"""Every registered defense: published defaults, restored runs, manners."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saat import tensor_file
from saat.data import RetrievalData
from saat.defenses import DEFENSES, defended_network
from saat.hashing import OBJECTIVES
from saat.mainstay import mainstay_codes
from saat.models import HashingNetwork, codes_of, encode
from saat.optimiser_settings import AdamSettings
from saat.training import TrainingFailed
from tests import reference_defenses, toy
from tests.contracts.defense_runs import MINIMAX, settings_of, state, training

every_defense = pytest.mark.parametrize("name", DEFENSES)
every_minimax = pytest.mark.parametrize("name", MINIMAX)

STABILISERS = {"eps_warmup": 0, "clip_gradients": 0.0, "ema": 0.0, "select": "last"}
INNER = {"batch_size": 32, "eps": 8 / 255, "steps": 7, "step_size": 2 / 255, **STABILISERS}
SGD = {"lr": 0.05, "momentum": 0.0, "weight_decay": 1e-5}
ADAM = {"lr": 1e-4, "beta1": 0.5, "beta2": 0.999}
TRIPLETS = {"epochs": 20, "lambda": 1.0, "margin": 0.2}
GUIDED = {"lambda": 1.0, "upstream_aliasing": False}
PUBLISHED: dict[str, dict[str, Any]] = {
    "saat": {**INNER, **SGD, **GUIDED, "epochs": 20, "mu": 1e-4, "weights": "saat"},
    "cgat": {
        **INNER,
        **GUIDED,
        "epochs": 30,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "augment": True,
    },
    "atrdh": {**INNER, **ADAM, "epochs": 100, "adversarial": 2.0, "original": 1.0},
    "crdat": {**INNER, **SGD, "epochs": 20, "code": 1.0, "feature": 1.0},
    "trades": {**INNER, **SGD, "epochs": 20, "beta": 6.0},
    "awp": {
        **INNER,
        **SGD,
        **GUIDED,
        "epochs": 20,
        "mu": 1e-4,
        "weights": "saat",
        "gamma": 5e-3,
        "perturb_from": 0.5,
    },
    "fgsm_rs": {
        **INNER,
        **SGD,
        **GUIDED,
        "epochs": 20,
        "mu": 1e-4,
        "weights": "saat",
        "steps": 1,
        "step_size": "auto",
    },
    "hm": {**INNER, **SGD, **TRIPLETS, "steps": 8, "step_size": 1 / 255, "ics": 0.5},
    "ca_tride": {**INNER, **SGD, **TRIPLETS, "steps": 16, "step_size": 1 / 255, "collapse": 10.0},
    "comdefend": {
        **ADAM,
        "epochs": 50,
        "batch_size": 32,
        "noise": 20.0,
        "penalty": 1e-4,
        "binarise": True,
        "test_noise": True,
        "width": 1.0,
    },
}


@every_defense
def test_defaults_are_the_published_ones(name: str) -> None:
    assert toy.options(DEFENSES[name].settings()) == PUBLISHED[name]


@every_defense
def test_the_rate_falls_at_the_published_points(name: str) -> None:
    settings = replace(DEFENSES[name].settings(), lr=1.0)
    rates = [settings.lr_at(iteration, 100) for iteration in (0, 49, 50, 74, 75, 99)]
    falls = [1, 1, 1, 1, 1, 1] if name == "comdefend" else [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates == pytest.approx(falls)


@pytest.mark.parametrize("name", ["saat", "cgat", "atrdh"])
@pytest.mark.parametrize("batches", [1, 2, 9, 10, 157])
def test_rates_are_those_of_the_reference_at_its_number_of_epochs(name: str, batches: int) -> None:
    settings = DEFENSES[name].settings()
    total = settings.epochs * batches
    ours = [settings.lr_at(iteration, total) for iteration in range(total)]
    plain = reference_defenses.rates(settings.lr, settings.epochs, batches)
    np.testing.assert_allclose(ours, plain, rtol=1e-12)
    falls = 1 if name == "cgat" and batches % 2 else 2
    assert len(set(ours)) == falls + 1


@given(epochs=st.integers(1, 40), batches=st.integers(1, 40))
def test_cgats_rate_waits_for_whole_numbers_as_in_the_reference(epochs: int, batches: int) -> None:
    settings = replace(DEFENSES["cgat"].settings(), epochs=epochs)
    total = epochs * batches
    ours = [settings.lr_at(iteration, total) for iteration in range(total)]
    plain = reference_defenses.rates(settings.lr, epochs, batches)
    np.testing.assert_allclose(ours, plain, rtol=1e-12)


@every_defense
def test_fields_that_make_up_the_published_setting_exist(name: str) -> None:
    assert set(DEFENSES[name].settings.published) <= PUBLISHED[name].keys()
    assert DEFENSES[name].settings.published
    assert DEFENSES[name].description


@every_defense
def test_an_epoch_moves_weights_and_reports_a_finite_loss(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    before = toy.snapshot(run.defended)
    seen: list[tuple[int, int]] = []
    metrics = run.run_epoch(lambda done, count: seen.append((done, count)))
    assert np.isfinite(metrics["train/loss"])
    assert metrics["train/lr"] == run.settings.lr
    assert seen == [(1, 3), (2, 3), (3, 3)]
    moved = toy.differences(before, toy.snapshot(run.defended))
    if name == "comdefend":
        assert set(moved) == {key for key in before if key.startswith("codec.")}
    else:
        assert "hash_layer.weight" in moved
    if name in MINIMAX:
        assert not [key for key in moved if "running_" in key or "num_batches" in key]


@every_minimax
def test_dropout_is_on_while_training(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    run.network.backbone.head.append(nn.Dropout(0.5))
    run.network.eval()
    run.set_mode()
    images = torch.rand(4, 3, toy.SIZE, toy.SIZE)
    assert not torch.equal(run.network(images), run.network(images))


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("saat", {}),
        ("saat", {"momentum": 0.9}),
        ("saat", {"upstream_aliasing": True}),
        ("cgat", {}),
        ("cgat", {"upstream_aliasing": True, "momentum": 0.0}),
        ("atrdh", {}),
        ("crdat", {"momentum": 0.9}),
        ("trades", {"momentum": 0.9}),
        ("awp", {"perturb_from": 0.25}),
        ("fgsm_rs", {}),
        ("hm", {"momentum": 0.9}),
        ("ca_tride", {"batch_size": 20}),
        ("comdefend", {}),
    ],
)
def test_a_restored_run_equals_one_that_was_never_interrupted(
    name: str,
    changes: dict[str, Any],
    trained: HashingNetwork,
    data: RetrievalData,
    tmp_path: Path,
) -> None:
    whole = training(name, trained, data, **changes)
    losses = [whole.run_epoch() for _ in range(4)]

    first = training(name, trained, data, **changes)
    start = [first.run_epoch(), first.run_epoch()]
    tensor_file.save(tmp_path / "checkpoint", *first.state({"trial": "x"}))
    torch.manual_seed(12345)  # another process has another state
    second = training(name, toy.toy_network(seed=7), data, **changes)
    assert toy.differences(state(training(name, trained, data, **changes)), state(second))
    assert second.restore(tmp_path / "checkpoint")["trial"] == "x"
    assert second.epoch == 2
    assert not toy.differences(state(first), state(second))
    rest = [second.run_epoch(), second.run_epoch()]

    assert second.finished
    assert [*start, *rest] == losses
    assert not toy.differences(state(whole), state(second))


@every_defense
def test_seeds_decide_the_run(name: str, trained: HashingNetwork, data: RetrievalData) -> None:
    runs = [training(name, trained, data, seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        run.run_epoch()
    assert not toy.differences(state(runs[0]), state(runs[1]))
    assert toy.differences(state(runs[0]), state(runs[2]))


@every_defense
def test_a_loss_that_is_not_finite_fails_with_its_place(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    with torch.no_grad():
        for module in run.modules().values():
            for parameter in module.parameters():
                parameter.fill_(float("nan"))
    with pytest.raises(TrainingFailed, match=rf"{name} loss is nan in epoch 1; lower lr"):
        run.run_epoch()
    if not isinstance(run.settings, AdamSettings):  # whose steps do not grow with the gradient
        exploding = training(name, trained, data, lr=1e30)
        with pytest.raises(TrainingFailed, match=rf"{name} loss is (nan|inf) in epoch 1"):
            exploding.run_epoch()


LABELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nobody has a label": lambda labels: np.zeros_like(labels),
    "all have the same label": lambda labels: np.eye(3, dtype=np.uint8)[[0] * len(labels)],
    "half have none": lambda labels: labels * (np.arange(len(labels)) % 2 == 0)[:, None],
}


@every_defense
@pytest.mark.parametrize("case", LABELS)
def test_rows_without_labels_are_safe(
    name: str, case: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    odd = replace(data, labels=LABELS[case](data.labels).astype(np.uint8))
    run = training(name, trained, odd, batch_size=19)  # a last batch of a single image
    assert np.isfinite(run.run_epoch()["train/loss"])
    assert all(bool(value.isfinite().all()) for value in state(run).values())


@pytest.mark.parametrize("name", ["saat", "atrdh"])  # cgat's loop is saat's
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_any_objective_can_be_defended(
    name: str, objective: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data, objective=objective, batch_size=96)
    assert np.isfinite(run.run_epoch()["train/loss"])


@every_defense
def test_the_defended_module_can_be_loaded_again(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    run = training(name, trained, data)
    run.run_epoch()
    options = {"method": name, **toy.options(settings_of(name))}
    again = defended_network(name, toy.toy_network(seed=3), options)
    again.load_state_dict(run.defended.state_dict())
    rows = data.test
    codes = [encode(module, lambda p: data.batch(rows[p]), 32) for module in (run.defended, again)]
    assert codes[0].shape == (32, toy.BITS)
    assert torch.equal(codes[0], codes[1])


def test_no_defense_deploys_the_network_itself(trained: HashingNetwork) -> None:
    assert defended_network("none", trained) is trained
    assert defended_network("saat", trained) is trained


@pytest.mark.lengthy
@every_minimax
def test_training_makes_the_network_harder_to_move(
    name: str, trained: HashingNetwork, data: RetrievalData
) -> None:
    hard: dict[str, Any] = {"steps": 5, "eps": 24 / 255, "step_size": "auto"}
    own: dict[str, dict[str, Any]] = {
        "fgsm_rs": {"steps": 1},
        "trades": {"lr": 0.2},
        "ca_tride": {"lr": 0.2},
    }
    run = training(name, trained, data, **{"epochs": 8, **hard, **own.get(name, {})})
    images = data.batch(data.train).float() / 255
    labels = data.label_tensor(data.train)
    codes = codes_of(encode(trained, lambda part: data.batch(data.train[part]), len(labels)))
    mainstay = mainstay_codes(labels, codes, labels)

    def agreement() -> float:
        """Mean u(x')·b after the inner maximisation."""
        torch.manual_seed(0)
        run.network.eval()
        epoch, run.epoch = run.epoch, run.settings.epochs  # attacks of full size
        attacked = run.inner_maximisation(images, mainstay)
        run.epoch = epoch
        with torch.no_grad():
            return float((torch.tanh(run.network(attacked)) * mainstay).mean())

    undefended = agreement()
    while not run.finished:
        run.run_epoch()
    assert agreement() > undefended + 0.1


@pytest.mark.parametrize("aliasing", [False, True])
@pytest.mark.parametrize("name", ["saat", "cgat", "atrdh"])
def test_codes_of_the_training_set_are_those_of_every_rows_last_visit(
    name: str, aliasing: bool, data: RetrievalData, trained: HashingNetwork
) -> None:
    changes: dict[str, Any] = {} if name == "atrdh" else {"upstream_aliasing": aliasing}
    run = training(name, trained, data, **changes)
    visited = torch.zeros(len(data.train), toy.BITS)

    def keep(_: nn.Module, given: tuple[Any, ...], __: object) -> None:
        visited[given[2]] = given[0].detach()

    run.objective.register_forward_hook(keep)
    run.run_epoch()
    run.run_epoch()
    codes = run.train_codes()
    assert codes.dtype == torch.int8
    assert torch.equal(codes, codes_of(visited))


@pytest.mark.parametrize("name", ["crdat", "trades", "hm", "ca_tride", "comdefend"])
def test_a_defense_that_keeps_no_codes_says_so(
    name: str, data: RetrievalData, trained: HashingNetwork
) -> None:
    assert training(name, trained, data).train_codes() is None
