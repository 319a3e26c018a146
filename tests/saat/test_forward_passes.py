"""What attacks, gates and batteries say they cost is what passes through a network."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor, nn

from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, Attack
from saat.attacks.interface import GRADIENT_PASSES
from saat.attacks.noise import Noise
from saat.attacks.square import Square
from saat.battery import Battery, battery_forward_passes, run_battery
from saat.reliability import STANDARD_GATES, GateBudget
from saat.threat_model import ThreatModel
from saat.victim import Victim
from tests import toy
from tests.golden.numbers import BRIEF

DATA = toy.toy_data()
THREAT = ThreatModel(8 / 255)
QUERIES = 32  # a whole grain, so that no batch is padded


class Counting(nn.Module):
    """A network that counts the images passing through it, with input gradients as two."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.passes = toy.toy_network(), 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += len(images) * (GRADIENT_PASSES if images.requires_grad else 1)
        features: Tensor = self.network(images)
        return features


def victim_of(network: nn.Module) -> Victim:
    victim = Victim(network, DATA, "test", 50)
    assert len(victim.rows) == QUERIES
    return victim


@pytest.mark.lengthy
@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize("name", [*ATTACKS, "noise"])
def test_an_attack_costs_what_it_says(
    name: str, restarts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Callable[..., Attack] = Noise if name == "noise" else ATTACKS[name]
    attack = kind(**{"steps": 7, "restarts": restarts, **BRIEF.get(name, {})})
    network, fit = Counting(), type(attack).fit

    def fitted(self: Attack, *args: Any) -> Attack:
        found = fit(self, *args)
        network.passes = 0  # it is paid once, whatever the number of queries
        return found

    monkeypatch.setattr(type(attack), "fit", fitted)
    AttackRunner(THREAT).attack(victim_of(network), name, attack)
    # One pass more measures the attacked images.
    assert network.passes == QUERIES * (attack.forward_passes(THREAT) + 1)


@pytest.mark.lengthy
@pytest.mark.parametrize("gate", [*STANDARD_GATES, "all", "none"])
def test_a_battery_costs_what_it_says(gate: str) -> None:
    gates = {"all": STANDARD_GATES, "none": ()}.get(gate, (gate,))
    attacks = {name: ATTACKS[name](steps=4, restarts=2) for name in ("apgd_mainstay", "mainstay")}
    budget = GateBudget(QUERIES, (0.5, 1.0), 4, (1, 4, 6), 5)
    battery = Battery(attacks, Square(steps=5), QUERIES, budget, gates=gates)
    network = Counting()
    victim, source = victim_of(network), Counting()
    other = victim_of(source)
    network.passes = source.passes = 0
    run_battery(victim, AttackRunner(THREAT), battery, {"source": other})
    # A look at its traits: 16 images each time.
    looks = 16 * (2 + GRADIENT_PASSES)
    passes = battery_forward_passes(battery, QUERIES, THREAT, sources=1)
    assert network.passes + source.passes == sum(passes.values()) + 2 * looks


def test_queries_beyond_those_of_square_and_gates_cost_only_attacks() -> None:
    battery = Battery(
        {"apgd_mainstay": ATTACKS["apgd_mainstay"](steps=4)},
        Square(steps=5), 10, GateBudget(8, (1.0,), 4, (1,), 4),
    )  # fmt: skip
    few, many = (battery_forward_passes(battery, queries) for queries in (10, 1010))
    assert many["gates"] == few["gates"]
    assert many["square"] - few["square"] == 1000
    assert many["apgd_mainstay"] == 101 * few["apgd_mainstay"]
    without = battery_forward_passes(replace(battery, gates=()), 10)
    assert without["gates"] == 0
