"""The gates, one by one: what each lets pass and what it catches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from saat.adaptive import ModelTraits
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, Attack
from saat.battery import BATTERIES, run_battery
from saat.protocol_options import Norm
from saat.reliability import GATES, GateBudget, GateContext, GateResult, run_gates
from saat.reliability.context import Scaled
from saat.reliability.strength import significantly_above, whole_range
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Victim
from tests import planted, toy
from tests.saat.test_battery import small

DATA = toy.toy_data()
THREAT = ThreatModel(8 / 255)
VICTIM = Victim(toy.pretrained(DATA), DATA, "test", 50)
QUERIES = len(VICTIM.rows)
HONEST = ModelTraits(randomised=False, zero_gradient=0.0, surrogate=False)
BUDGET = GateBudget(QUERIES, (0.5, 1.0, 2.0), 10, (1, 10, 20), 10)

Answer = Callable[[Attack, ThreatModel, float, str], AttackResult]


def result(ap: float | Tensor, theory: float = 0.0, **changes: Any) -> AttackResult:
    """An attack that changed nothing and yet left this AP."""
    made = AttackResult(
        ap=torch.full((QUERIES,), ap, dtype=torch.float64) if isinstance(ap, float) else ap,
        theory_ap=torch.full((QUERIES,), theory, dtype=torch.float64),
        images=VICTIM.images,
        codes=VICTIM.query_codes,
        zero_gradient=0.0,
        restart=torch.zeros(QUERIES, dtype=torch.int64),
    )
    return replace(made, **changes)


@dataclass(frozen=True)
class ScriptedContext(GateContext):
    """A context in which the gates' own attacks have given results."""

    answer: Answer | None = field(default=None)

    def run(
        self,
        attack: Attack,
        threat: ThreatModel | None = None,
        factor: float | None = None,
        name: str = "probe",
    ) -> AttackResult:
        if self.answer is None:
            return super().run(attack, threat, factor, name)
        return self.answer(attack, threat or THREAT, factor or 1.0, name)


def context(
    results: Mapping[str, AttackResult] | None = None,
    answer: Answer | None = None,
    **changes: Any,
) -> ScriptedContext:
    made = ScriptedContext(
        victim=VICTIM,
        traits=HONEST,
        gradient_networks={"": VICTIM.network},
        runner=AttackRunner(THREAT),
        results=results or {"white": result(0.2), "noise": result(0.8), "square": result(0.5)},
        white_box=["white"],
        query_indices={"square": torch.arange(10)},
        gate_attack=ATTACKS["apgd_mainstay"](steps=10),
        positions=torch.arange(QUERIES),
        gate_budget=BUDGET,
        answer=answer,
    )
    return replace(made, **changes)


def verdict(name: str, case: GateContext) -> GateResult:
    found = GATES[name].check(case)
    assert found.name == name
    assert "\n" not in found.detail
    return found


def test_every_gate_has_its_paragraph() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    assert all(f"\n### {name}\n" in page for name in GATES)
    assert page.count("\n### ") == len(GATES)


def test_a_difference_counts_beyond_chance_and_tolerance() -> None:
    drawn = torch.Generator().manual_seed(0)
    lower = torch.rand(64, generator=drawn, dtype=torch.float64)
    assert significantly_above(lower + 0.03, lower, 0.02)
    assert not significantly_above(lower + 0.01, lower, 0.02)
    swing = 0.5 * torch.tensor([1.0, -1.0]).repeat(32)
    assert not significantly_above(lower + 0.03 + swing, lower, 0.0)


# Budget and zero


def test_budget() -> None:
    assert verdict("budget", context()).passed
    over = VICTIM.images.clone()
    over[3, 0, 0, 0] = over[3, 0, 0, 0] ^ 16
    floats = VICTIM.images.float() / 255
    for images in (over, floats, VICTIM.images[:5]):
        found = verdict("budget", context({"bad": result(0.1, images=images), "good": result(0.2)}))
        assert not found.passed
        assert "bad" in found.detail
        assert "good" not in found.detail


class Collapsed(planted.Wrapped):
    """Codes all images alike; its gradients are those of the network."""

    def forward(self, images: Tensor) -> Tensor:
        return 1.0 + 0.001 * torch.tanh(super().forward(images))


def test_above_chance() -> None:
    assert verdict("above_chance", context()).passed
    found = verdict(
        "above_chance", context(victim=Victim(Collapsed(VICTIM.network), DATA, "test", 50))
    )
    assert not found.passed
    assert found.measured["clean_map"] == pytest.approx(found.measured["chance_map"])


@pytest.mark.parametrize(("gain", "passed"), [(0.005, False), (0.02, True)])
def test_barely_above_chance_is_chance(gain: float, passed: bool) -> None:
    victim = Victim(VICTIM.network, DATA, "test", 50)
    victim.clean_ap = victim.chance_ap + gain
    assert verdict("above_chance", context(victim=victim)).passed is passed


def test_a_collapsed_model_is_marked() -> None:
    victim = Victim(Collapsed(VICTIM.network), DATA, "test", 50)
    found = run_battery(victim, AttackRunner(THREAT), small(gates=("budget", "above_chance")))
    assert found.unreliable
    (reason,) = found.unreliable
    assert reason.startswith("above_chance: clean MAP ")


def test_zero_eps() -> None:
    assert verdict("zero_eps", context()).passed
    radii: list[float] = []

    def honest(attack: Attack, threat: ThreatModel, *_: object) -> AttackResult:
        radii.append(threat.eps)
        return result(VICTIM.clean_ap)

    assert verdict("zero_eps", context(answer=honest)).passed
    assert radii == [0.0]
    moved = VICTIM.images ^ 1
    flipped = VICTIM.query_codes.clone()
    flipped[0, 0] *= -1
    for wrong in (
        result(VICTIM.clean_ap, images=moved),
        result(VICTIM.clean_ap, codes=flipped),
        result(VICTIM.clean_ap - 0.1),
    ):
        assert not verdict("zero_eps", context(answer=lambda *_, w=wrong: w)).passed


# Strength


def test_monotone() -> None:
    def falling(attack: Attack, threat: ThreatModel, *_: object) -> AttackResult:
        return result(0.1 / (1 + 10 * threat.eps))

    def rising(attack: Attack, threat: ThreatModel, *_: object) -> AttackResult:
        return result(0.1 if threat.eps < THREAT.eps else 0.2)

    def wobbling(attack: Attack, threat: ThreatModel, *_: object) -> AttackResult:
        return result(0.1 if threat.eps < THREAT.eps else 0.105)

    passed = verdict("monotone", context(answer=falling))
    assert passed.passed
    assert list(passed.measured) == ["0", "0.01569", "0.03137", "0.06275", "all"]
    assert passed.measured["all"] == pytest.approx(0.1 / 11)
    assert passed.curve is not None
    assert passed.curve.along == "eps"
    # The clean images, then the balls; the whole image range is none of them.
    assert list(passed.curve.ap) == [0.0, THREAT.eps / 2, THREAT.eps, 2 * THREAT.eps]
    assert torch.equal(passed.curve.ap[0.0], VICTIM.clean_ap)
    assert float(passed.curve.ap[THREAT.eps].mean()) == passed.measured["0.03137"]
    assert verdict("monotone", context(answer=wobbling)).passed
    found = verdict("monotone", context(answer=rising))
    assert not found.passed
    assert "0.01569 → 0.03137" in found.detail
    # Noise that retrieves better than the clean image is a rise, too.
    assert not verdict("monotone", context(answer=lambda *_: result(1.0))).passed


def test_the_full_gate_budget_has_the_radii_and_iterations_of_the_field() -> None:
    full = BATTERIES["full"].gate_budget
    assert [8 * multiple for multiple in full.radii] == [1, 2, 4, 8, 16, 32]
    assert list(full.iterations) == [1, 10, 50, 100, 500, 1000]
    for norm, size in (("linf", 1.0), ("l2", 768**0.5), ("l1", 768.0)):
        assert whole_range(ThreatModel(0.1, norm), 768) == ThreatModel(size, norm)  # type: ignore[arg-type]


def test_floor() -> None:
    radii: list[float] = []

    def reached(ap: float) -> Answer:
        def answer(attack: Attack, threat: ThreatModel, *_: object) -> AttackResult:
            radii.append(threat.eps)
            return result(ap, theory=0.05)

        return answer

    assert verdict("floor", context(answer=reached(0.08))).passed
    assert not verdict("floor", context(answer=reached(0.12))).passed
    assert radii == [1.0, 1.0]


def test_plateau() -> None:
    def settled(attack: Attack, *_: object) -> AttackResult:
        return result(0.2 + 0.3 / attack.steps)

    def moving(attack: Attack, *_: object) -> AttackResult:
        return result(0.4 - 0.01 * attack.steps)

    def rising(attack: Attack, *_: object) -> AttackResult:
        return result(0.2 if attack.steps < 20 else 0.25)

    found = verdict("plateau", context(answer=settled))
    assert found.passed
    assert list(found.measured) == ["T=1", "T=10", "T=20"]
    assert found.curve is not None
    assert found.curve.along == "steps"
    means = {steps: float(ap.mean()) for steps, ap in found.curve.ap.items()}
    assert means == {
        1: found.measured["T=1"],
        10: found.measured["T=10"],
        20: found.measured["T=20"],
    }
    assert torch.equal(found.curve.positions, torch.arange(QUERIES))
    still = verdict("plateau", context(answer=moving))
    assert not still.passed
    assert "still moving after T=10" in still.detail
    assert not verdict("plateau", context(answer=rising)).passed


def test_black_box() -> None:
    assert verdict("black_box", context()).passed
    for name in ("noise", "square", "transfer.other"):
        results = {"white": result(0.4), name: result(0.3)}
        found = verdict("black_box", context(results))
        assert not found.passed
        assert name in found.detail
    # Square counts on the queries it took; elsewhere its images are the clean ones.
    half = torch.full((QUERIES,), 0.9, dtype=torch.float64)
    half[:10] = 0.1
    assert not verdict("black_box", context({"white": result(0.2), "square": result(half)})).passed
    # Several white boxes count together.
    first, second = half, 1.0 - half
    both = {"white": result(first), "other": result(second), "noise": result(0.15)}
    assert verdict("black_box", context(both, white_box=["white", "other"])).passed
    assert not verdict("black_box", context(both)).passed


# Gradients


def test_zero_gradient_is_that_of_the_attack_that_sees_most() -> None:
    blind = result(0.5, zero_gradient=0.95)
    seeing = result(0.5, zero_gradient=0.01)
    both = context({"white": blind, "other": seeing}, white_box=["white", "other"])
    assert verdict("zero_gradient", both).passed
    assert not verdict("zero_gradient", context({"white": blind})).passed


def test_differentiable() -> None:
    for zero, surrogate, passed in ((0.0, False, True), (1.0, True, True), (1.0, False, False)):
        traits = ModelTraits(randomised=False, zero_gradient=zero, surrogate=surrogate)
        assert verdict("differentiable", context(traits=traits)).passed == passed


@pytest.mark.parametrize(
    ("plant", "gates"),
    [
        (planted.Wrapped, {"direction": True, "smooth": True}),
        (planted.LargeLastLayer, {"direction": True, "smooth": True}),
        (planted.Sawtooth, {"direction": False}),
        (planted.Ripple, {"smooth": False}),
    ],
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_gradients_that_lead_nowhere(
    plant: type[planted.Wrapped], gates: Mapping[str, bool], norm: Norm
) -> None:
    victim = Victim(plant(VICTIM.network), DATA, "test", 50)
    ball = THREAT if norm == "linf" else ThreatModel(0.6, norm)
    case = context(victim=victim, gradient_networks={"": victim.network}, runner=AttackRunner(ball))
    for name, passed in gates.items():
        assert verdict(name, case).passed == passed, verdict(name, case)


def test_gates_that_need_a_gradient_are_left_out_without_one() -> None:
    traits = ModelTraits(randomised=False, zero_gradient=1.0, surrogate=False)
    found = run_gates(context(traits=traits, gradient_networks={}, white_box=[]))
    assert {one.name: one.passed for one in found} == {
        "budget": True,
        "above_chance": True,
        "deterministic": True,
        "differentiable": False,
    }
    assert len(run_gates(context(answer=lambda *_: result(VICTIM.clean_ap)))) == len(GATES)


# Scale


def test_scale_compares_the_published_attack_with_itself() -> None:
    def found(gap: float, drift: float = 0.0) -> GateResult:
        def answer(attack: Attack, _: ThreatModel, factor: float, name: str) -> AttackResult:
            if name == "published":
                return result(0.2 + (0.0 if attack.rescale else gap))  # type: ignore[attr-defined]
            return result(0.2 + (drift if factor == 60.0 else 0.0))

        return verdict("scale", context(answer=answer))

    assert found(0.0).passed
    assert found(-0.1).passed  # stronger as published: nothing is hidden
    assert not found(0.04).passed
    drifted = found(0.0, drift=0.05)
    assert not drifted.passed
    assert "gate attack at scale 60" in drifted.detail


@pytest.mark.parametrize(("factor", "passed"), [(1.0, True), (60.0, False)])
def test_scale_catches_a_large_last_layer(factor: float, passed: bool) -> None:
    # The toy network with features of some size; those of the briefly trained one are tiny.
    victim = Victim(Scaled(toy.bare_network(DATA), factor), DATA, "test", 50)
    found = verdict("scale", context(victim=victim, gradient_networks={"": victim.network}))
    assert found.passed == passed
    assert (found.measured["saturated"] > 0.5) == (not passed)
    assert found.measured["gate attack at scale 60"] == pytest.approx(
        found.measured["gate attack"], abs=0.02
    )


# Randomness


@pytest.mark.slow
@pytest.mark.parametrize("plant", [planted.NoisyInput, planted.RandomResize])
def test_randomised_networks_are_told_apart(plant: type[planted.Wrapped]) -> None:
    found = run_battery(
        Victim(plant(VICTIM.network), DATA, "test", 50), AttackRunner(THREAT), small()
    )
    assert found.unreliable
    assert [one.name for one in found.gate_results if not one.passed] == ["deterministic"]
    (reason,) = found.unreliable
    assert reason.startswith("deterministic: ")
    assert "vary" in reason
    measured = found.gate_results[1].measured
    assert 0 < measured["bits"] < 0.5
    assert measured["lowest"] < measured["highest"]
    assert not run_battery(VICTIM, AttackRunner(THREAT), small()).unreliable
