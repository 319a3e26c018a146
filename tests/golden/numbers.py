"""What every formula computes on a fixed network and fixed data.

The network is not trained and computes in float64: a training, or sums in float32, would end
elsewhere on another machine.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cache
from itertools import chain
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, Attack
from saat.attacks.noise import Noise
from saat.attacks.square import Square
from saat.battery import BATTERIES, Battery, run_battery
from saat.bootstrap import bootstrap_interval
from saat.evaluation import Evaluation
from saat.metrics import METRICS, Phase, with_trial_metrics
from saat.perceptibility import perceptibility
from saat.protocol import Protocol, evaluate
from saat.registry import OWN_PACKAGE, Registry
from saat.reliability import GATES, STANDARD_GATES, GateBudget, GateResult
from saat.threat_model import ThreatModel
from saat.versions import FORMULA_VERSIONS
from saat.victim import Victim
from tests import toy

THREAT = ThreatModel(8 / 255)
QUERIES = 8
TOP_K = 50
# With their own ones, learning and asking would take long.
BRIEF: Mapping[str, Mapping[str, Any]] = {
    "vmi": {"neighbours": 2},
    "tha": {"prototype_steps": 3, "prototype_batch": 16},
    "prosgan": {"prototype_steps": 3, "prototype_batch": 16, "epochs": 1, "width": 8},
    "tta_gan": {"anchor_steps": 20, "epochs": 1, "width": 8},
    "all_points": {"epochs": 1, "width": 8},
    "ss_tuaa": {"updates": 5},
    "multi_target": {"targets": 2},
    "square": {"steps": 30},
    "rank_only": {"steps": 30},
}


class FixedNetwork(nn.Module):
    """Float images (B, 3, 16, 16) → pre-tanh features (B, 12): drawn weights, float64 inside."""

    def __init__(self) -> None:
        super().__init__()
        drawn = np.random.RandomState(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(96, toy.BITS)
        ).double()
        for parameter in self.layers.parameters():
            values = drawn.uniform(-0.4, 0.4, tuple(parameter.shape))
            parameter.data = torch.from_numpy(values)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(4 * images.double() - 2)
        return features.float()


@cache
def victim() -> Victim:
    return Victim(FixedNetwork(), toy.toy_data(), "test", TOP_K, limit=QUERIES)


def rounded(values: Tensor) -> list[float]:
    return [round(float(value), 6) for value in values.flatten()]


def attack_numbers(name: str) -> dict[str, list[float]]:
    """A weighted mean of every attacked code, how far bytes moved, in radii, and constants."""
    kind: Callable[..., Attack] = Noise if name == "noise" else ATTACKS[name]
    target, attack = victim(), kind(**{"steps": 10, **BRIEF.get(name, {})})
    found = AttackRunner(THREAT).attack(target, name, attack)
    with torch.no_grad():
        features = target.network(found.images.float() / 255) / target.knowledge.feature_scale
    toward = torch.tanh(features)
    levels = (found.images.int() - target.images.int()).float()
    return {
        "codes": rounded((toward * toward.new_tensor(range(1, toy.BITS + 1))).mean(1)),
        "change": rounded(levels.abs().flatten(1).mean(1) / 8),
        "theory_ap": rounded(found.theory_ap),
        "constants": sorted(set(chain.from_iterable(map(_constants, _methods(type(attack)))))),
    }


def _methods(attack: type[Attack]) -> Iterator[FunctionType]:
    own = attack.__mro__[: attack.__mro__.index(Attack)]
    return (item for kind in own for item in vars(kind).values() if isinstance(item, FunctionType))


@cache
def gate_results() -> dict[str, GateResult]:
    battery = Battery(
        {"apgd_mainstay": ATTACKS["apgd_mainstay"](steps=6)},
        Square(steps=5),
        QUERIES,
        GateBudget(QUERIES, (0.5, 1.0, 2.0), 5, (1, 8), 8),
        noise=Noise(restarts=1),
    )
    found = run_battery(victim(), AttackRunner(THREAT), battery)
    return {gate.name: gate for gate in found.gate_results}


def gate_numbers(name: str) -> dict[str, Any]:
    """What the gate measured, and the thresholds and counts in its module that it uses."""
    found = gate_results()[name]
    values = {key: round(value, 6) for key, value in found.measured.items()}
    constants = sorted(set(_constants(GATES[name].check)))
    return {"passed": found.passed, "measured": values, "constants": constants}


def _constants(function: Callable[..., Any], seen: frozenset[str] = frozenset()) -> Iterator[float]:
    """Numbers among the module-level names that a function uses, and its module's functions."""
    function = inspect.unwrap(function)
    assert isinstance(function, FunctionType)
    for name in _names(function.__code__) - seen:
        value = function.__globals__.get(name)
        values = value if isinstance(value, tuple) else (value,)
        yield from (v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            yield from _constants(value, seen | {name})


def _names(code: CodeType) -> set[str]:
    inner = (_names(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


def battery_numbers(name: str) -> dict[str, Any]:
    """What it runs, and AP of a run with few iterations."""
    battery = BATTERIES[name]
    short = replace(
        battery,
        white_box={n: _short(n, attack) for n, attack in battery.white_box.items()},
        square=Square(steps=5),
        gates=("budget",),
    )
    return {
        "attacks": {n: toy.options(attack) for n, attack in battery.white_box.items()},
        "square": toy.options(battery.square),
        "square_queries": battery.square_queries,
        "noise": toy.options(battery.noise),
        "gate_attack": battery.gate_attack,
        "gates": list(battery.gates),
        **({"pruning": asdict(battery.pruning)} if battery.pruning else {}),
        "gate_budget": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(battery.gate_budget).items()
        },
        "worst_ap": rounded(run_battery(victim(), AttackRunner(THREAT), short).worst_ap),
    }


def _short(name: str, attack: Attack) -> Attack:
    return replace(attack, steps=3, restarts=1, **BRIEF.get(name, {}))


def formula_numbers(name: str) -> Any:
    """A formula of the fixed victim, or of drawn bytes."""
    target = victim()
    if name == "average_precision":
        stable = Victim(target.network, target.data, "test", TOP_K, "stable", QUERIES)
        return {"expected": rounded(target.clean_ap), "stable": rounded(stable.clean_ap)}
    if name == "chance":
        return rounded(target.chance_ap)
    if name == "lift":
        return rounded(torch.tensor(bootstrap_interval(target.clean_ap - target.chance_ap)))
    if name == "target_labels":
        return target.target_labels(0).tolist()
    drawn = np.random.RandomState(1)
    pair = (torch.from_numpy(drawn.randint(0, 256, (4, 3, 8, 8)).astype(np.uint8)) for _ in "ab")
    return {key: round(value, 6) for key, value in perceptibility(*pair).items()}


@cache
def evaluation() -> Evaluation:
    attacks = {name: ATTACKS[name](steps=3) for name in ("mainstay", "mainstay_targeted")}
    protocol = Protocol(attacks, top_k=TOP_K)
    found = evaluate(FixedNetwork(), toy.toy_data(), protocol, limit=QUERIES)
    return replace(found, gate_results=[GateResult("floor", False, "")], skipped={"hag": ""})


def metric_numbers(name: str) -> dict[str, float]:
    """What the metric says of the fixed network under two attacks."""
    if METRICS[name].of_trial:
        values = Phase.TEST.of(with_trial_metrics({"test/clean_map": 1.0}, 12.5))
        return {name: values[name]}
    values = METRICS[name].values(evaluation(), name, Phase.TEST)
    return {key: round(value, 6) for key, value in values.items()}


def _own(registry: Registry[Any]) -> Iterator[str]:
    return (name for name in registry if registry.package(name) == OWN_PACKAGE)


class Formulas(NamedTuple):
    """One kind of formulas.

    Attributes:
        versions: name → version, as the package has them.
        compute: name → nested numbers.
    """

    versions: Callable[[], Mapping[str, int]]
    compute: Callable[[str], Any]


KINDS: Mapping[str, Formulas] = {
    "attacks": Formulas(
        lambda: {n: ATTACKS[n].version for n in _own(ATTACKS)} | {"noise": Noise.version},
        attack_numbers,
    ),
    "gates": Formulas(lambda: {n: GATES[n].version for n in STANDARD_GATES}, gate_numbers),
    "batteries": Formulas(
        lambda: {n: BATTERIES[n].version for n in _own(BATTERIES)}, battery_numbers
    ),
    "formulas": Formulas(lambda: FORMULA_VERSIONS, formula_numbers),
    "metrics": Formulas(lambda: {n: METRICS[n].version for n in _own(METRICS)}, metric_numbers),
}
