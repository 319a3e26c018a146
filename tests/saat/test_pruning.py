"""The worst case at less cost: what is left out, and that the rest is as it would have been."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS
from saat.attacks.interface import GRADIENT_PASSES
from saat.attacks.square import Square
from saat.battery import Battery, battery_forward_passes, run_battery
from saat.evaluation import Evaluation
from saat.pruning import Pruning, lowers, restarts_needed
from saat.reliability import GateBudget
from saat.threat_model import ThreatModel
from tests import toy
from tests.saat.test_battery import NETWORK, victim_of
from tests.saat.test_forward_passes import Counting

THREAT = ThreatModel(8 / 255)
RUNNER = AttackRunner(THREAT)
VICTIM = victim_of(NETWORK)
EVERYONE = len(VICTIM.rows)
OTHER = victim_of(toy.toy_network(seed=4))
SAMPLE = 10


def battery(tolerance: float | None, **changes: object) -> Battery:
    attacks = {
        "apgd_mainstay": ATTACKS["apgd_mainstay"](steps=3, restarts=3),
        "hag": ATTACKS["hag"](steps=3),
        "apgd_mainstay_targeted": ATTACKS["apgd_mainstay_targeted"](steps=3, restarts=2),
    }
    pruning = None if tolerance is None else Pruning(SAMPLE, tolerance)
    budget = GateBudget(4, (1.0,), 2, (1, 2), 2)
    made = Battery(attacks, Square(steps=5), 20, budget, gates=("budget",), pruning=pruning)
    return replace(made, **changes)  # type: ignore[arg-type]


def found(tolerance: float | None, runner: AttackRunner = RUNNER) -> Evaluation:
    return run_battery(VICTIM, runner, battery(tolerance), {"other": OTHER})


# Which restarts are needed


def brute(losses: dict[str, Tensor], start: Tensor, needed: dict[str, int]) -> float:
    return sum(
        min([float(start[q])] + [float(losses[n][r, q]) for n in losses for r in range(needed[n])])
        for q in range(len(start))
    ) / len(start)


@given(st.integers(0, 10_000), st.floats(-0.1, 0.3))
def test_what_is_left_out_costs_no_more_than_the_tolerance(seed: int, tolerance: float) -> None:
    draws = torch.Generator().manual_seed(seed)
    counts = {"a": 3, "b": 1, "c": 2}
    losses = {n: torch.rand(r, 6, generator=draws, dtype=torch.float64) for n, r in counts.items()}
    start = torch.rand(6, generator=draws, dtype=torch.float64)
    needed = restarts_needed(losses, start, {"a": 1.0, "b": 9.0, "c": 3.0}, tolerance)
    whole = brute(losses, start, counts)
    assert all(0 <= needed[n] <= counts[n] for n in counts)
    if tolerance < 0:
        assert needed == counts
    else:
        assert brute(losses, start, needed) - whole <= tolerance + 1e-12
    # Nothing more could have been left out.
    for name in (n for n in counts if needed[n]):
        fewer = {**needed, name: needed[name] - 1}
        assert brute(losses, start, fewer) - whole > tolerance - 1e-12


def test_the_dearest_of_useless_attacks_goes_first() -> None:
    same = torch.full((1, 4), 0.2, dtype=torch.float64)
    losses = {"cheap": same, "dear": same, "useless": same + 0.5}
    start = torch.ones(4, dtype=torch.float64)
    passes = {"cheap": 1.0, "dear": 9.0, "useless": 2.0}
    needed = restarts_needed(losses, start, passes, 0.0)
    assert needed == {"cheap": 1, "dear": 0, "useless": 0}


def test_a_control_lowers_the_worst_case_by_more_than_the_tolerance_or_not() -> None:
    worst, ap = torch.tensor([0.5, 0.5, 0.1]), torch.tensor([0.2, 0.9, 0.9])
    assert lowers(worst, ap, 0.09)
    assert not lowers(worst, ap, 0.11)


# Whole batteries


def test_where_nothing_is_left_out_everything_is_as_without_pruning() -> None:
    """Seeds of restarts, target labels, and which restart counts."""
    pruned, whole = found(-1.0), found(None)
    assert pruned.attacks.keys() == whole.attacks.keys()
    assert list(pruned.query_indices) == ["square"]
    assert torch.equal(pruned.query_indices["square"], whole.query_indices["square"])
    for name, one in whole.attacks.items():
        other = pruned.attacks[name]
        for part in ("images", "codes", "ap", "theory_ap", "restart"):
            assert torch.equal(getattr(one, part), getattr(other, part)), (name, part)
        assert other.zero_gradient == pytest.approx(one.zero_gradient)
        assert other.perceptibility == pytest.approx(one.perceptibility)
        assert (one.target is None) == (other.target is None)
        if one.target and other.target:
            for part in ("labels", "ap", "theory_ap", "clean_ap"):
                assert torch.equal(getattr(one.target, part), getattr(other.target, part)), part
    assert pruned.metrics() == pytest.approx(whole.metrics())


def test_what_does_not_lower_the_worst_case_of_the_sample_ran_there_alone() -> None:
    pruned, whole = found(1.0), found(None)
    sample = pruned.query_indices["square"]
    assert len(sample) == SAMPLE
    assert bool(torch.isin(sample, whole.query_indices["square"]).all())
    assert set(pruned.query_indices) == set(pruned.attacks) - {"noise"}
    others = ~torch.isin(torch.arange(EVERYONE), sample)
    for name, one in pruned.attacks.items():
        assert torch.equal(one.images[sample], whole.attacks[name].images[sample])
        assert torch.equal(one.ap[sample], whole.attacks[name].ap[sample])
        if name != "noise":
            assert torch.equal(pruned.query_indices[name], sample)
            assert torch.equal(one.images[others], VICTIM.images[others])
            assert torch.equal(one.ap[others], VICTIM.clean_ap[others])
    assert torch.equal(pruned.worst_ap[sample], whole.worst_ap[sample])
    assert pruned.metrics()["map.hag"] == pytest.approx(
        float(whole.attacks["hag"].ap[sample].mean())
    )
    target = whole.attacks["apgd_mainstay_targeted"].target
    assert target is not None
    found_here = pruned.metrics()
    name = "apgd_mainstay_targeted"
    assert found_here[f"tmap.{name}"] == pytest.approx(float(target.ap[sample].mean()))
    assert found_here[f"theory.{name}"] == pytest.approx(float(target.theory_ap[sample].mean()))


def test_the_strongest_attack_meets_every_query() -> None:
    pruned, whole = found(0.005), found(None)
    assert "apgd_mainstay" not in pruned.query_indices
    assert float((pruned.worst_ap - whole.worst_ap).mean()) < 0.03
    assert bool((pruned.worst_ap >= whole.worst_ap).all())


def test_few_queries_and_networks_that_draw_noise_meet_everything() -> None:
    part = VICTIM.on_queries(torch.arange(SAMPLE))
    assert not run_battery(part, RUNNER, battery(1.0)).query_indices

    class Noisy(torch.nn.Module):
        randomised = True

        def __init__(self) -> None:
            super().__init__()
            self.network = NETWORK

        def forward(self, images: Tensor) -> Tensor:
            features: Tensor = self.network(images)
            return features + 0.01 * torch.randn_like(features)

    pruned = run_battery(victim_of(Noisy()), RUNNER, battery(1.0))
    assert list(pruned.query_indices) == ["square"]
    assert len(pruned.query_indices["square"]) == 20


def test_a_pruned_battery_goes_on_from_its_store_and_keeps_images_on_the_disk(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    runner = replace(RUNNER, store=tmp_path, progress=lambda name, *_: asked.append(name))
    first = found(0.005, runner)
    assert asked
    asked.clear()
    again = found(0.005, runner)
    assert not asked
    maps = Path("/proc/self/maps")
    mapped = maps.read_text() if maps.exists() else None
    for name, one in found(0.005).attacks.items():
        for other in (first.attacks[name], again.attacks[name]):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.ap, other.ap)
        assert mapped is None or name == "noise" or f"{name}-joined.npy" in mapped


@pytest.mark.parametrize("tolerance", [-1.0, 0.005, 1.0])
def test_a_pruned_battery_costs_at_most_what_it_says(
    tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The padding of a small batch would count too.
    monkeypatch.setattr("saat.attacks.query_batches.BATCH_GRAIN", 1)
    network, source = Counting(), Counting()
    victim, other = victim_of(network), victim_of(source)
    network.passes = source.passes = -16 * (2 + GRADIENT_PASSES)  # a look at its traits
    made = battery(tolerance)
    run_battery(victim, RUNNER, made, {"source": other})
    spent = network.passes + source.passes
    most = sum(battery_forward_passes(made, EVERYONE, THREAT, sources=1).values())
    assert spent <= most
    assert spent > 0.9 * most if tolerance < 0 else spent < 0.9 * most
