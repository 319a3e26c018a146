"""The battery: the strongest attacks on one model, their worst case, and whether to believe it.

Per query the minimum AP over all attacks, restarts, the clean image and random noise counts
(targeted attacks: the maximum t-AP). Codes are computed from images rounded to bytes. The gates of
:mod:`saat.reliability` decide whether the number is reliable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from saat.adaptive import Adapted, gradient_networks_of, model_traits
from saat.attack_runner import AttackRunner
from saat.attacks import (
    HAG,
    SDHA,
    ApgdMainstay,
    ApgdMargin,
    ApgdSmoothAP,
    Attack,
    MainstayAttack,
    MaskedMainstay,
    MultiTarget,
    Square,
    TargetedApgdMainstay,
    TargetedApgdMargin,
    TargetedApgdSmoothAP,
)
from saat.attacks.noise import Noise
from saat.controls import controls, drawn_queries, run_control
from saat.errors import InputError
from saat.evaluation import Evaluation
from saat.pruning import Pruning, Run, run_pruned
from saat.registry import Registry, instance_of
from saat.reliability import STANDARD_GATES, GateBudget, GateContext, run_gates
from saat.reliability.passes import gate_passes
from saat.threat_model import ThreatModel
from saat.victim import Victim

_NOISE = Noise(restarts=2)


@dataclass(frozen=True)
class Battery:
    """What is run.

    Attributes:
        white_box: name → attack by gradients.
        square: the black-box attack.
        square_queries: queries it takes, all where there are fewer; it is slow.
        gate_attack: name in ``white_box`` of the attack that gates repeat and transfer uses.
        gate_budget: how much the gates run.
        gates: names in :data:`saat.reliability.GATES`.
        noise: the noise control.
        pruning: leaves out attacks, restarts and controls that do not lower the worst case of a
            sample; none are left out where None, and on networks that draw noise.
        version: raised with every change of the attacks, their options or the gates' budget.
    """

    white_box: Mapping[str, Attack]
    square: Square
    square_queries: int
    gate_budget: GateBudget
    gate_attack: str = "apgd_mainstay"
    gates: Sequence[str] = STANDARD_GATES
    noise: Noise = _NOISE
    pruning: Pruning | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if self.gate_attack not in self.white_box:
            known = ", ".join(self.white_box)
            raise InputError(
                f"battery: gate_attack {self.gate_attack!r}: one of its attacks, {known}"
            )


_CORE = Battery(
    {
        "apgd_mainstay": ApgdMainstay(steps=15, restarts=2),
        "apgd_smoothap": ApgdSmoothAP(steps=15, restarts=2),
    },
    Square(steps=100),
    64,
    GateBudget(64, (0.25, 1.0, 4.0), 15, (1, 10, 30), 30),
    version=2,
)
# Every attack on every query, those of papers with their published numbers of iterations.
_EXHAUSTIVE = Battery(
    {
        "apgd_mainstay": ApgdMainstay(steps=100, restarts=5),
        "apgd_margin": ApgdMargin(steps=100, restarts=5),
        "apgd_smoothap": ApgdSmoothAP(steps=100, restarts=5),
        "masked_mainstay": MaskedMainstay(steps=100),
        "multi_target": MultiTarget(steps=100),
        "apgd_mainstay_targeted": TargetedApgdMainstay(steps=100),
        "apgd_margin_targeted": TargetedApgdMargin(steps=100),
        "apgd_smoothap_targeted": TargetedApgdSmoothAP(steps=100),
        "mainstay": MainstayAttack(),
        "hag": HAG(),
        "sdha": SDHA(),
    },
    Square(),
    500,
    # Radii as multiples of 8/255: 1, 2, 4, 8, 16 and 32 levels of a byte.
    GateBudget(128, (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), 100, (1, 10, 50, 100, 500, 1000), 100),
    version=2,
)
_FULL = replace(
    _EXHAUSTIVE,
    white_box={**_EXHAUSTIVE.white_box, "hag": HAG(steps=100), "sdha": SDHA(steps=100)},
    pruning=Pruning(128, 0.0002),
    version=3,
)
BATTERIES: Registry[Battery] = Registry(
    "battery",
    "saat.batteries",
    {"core": _CORE, "full": _FULL, "exhaustive": _EXHAUSTIVE},
    problem=instance_of(Battery),
    reserved="none",
)


def battery_forward_passes(
    battery: Battery, queries: int, threat: ThreatModel | None = None, sources: int = 0
) -> dict[str, float]:
    """Forward passes of one image that a battery costs, by attack, for ``square`` and ``gates``.

    An input gradient counts :data:`saat.attacks.interface.GRADIENT_PASSES`; the codes of attacked
    images count too. A network that draws noise, hides gradients behind rectifiers or offers a
    stand-in costs more, as white-box attacks then average draws or run twice. Of a battery that
    prunes this is what it costs at most: what it leaves out is known only after its sample.

    The ball is L∞ 8/255 where ``threat`` is None. Where there are ``sources``, models whose images
    are tried, the result has ``transfer`` too.
    """
    ball = threat or ThreatModel(8 / 255)
    passes = {
        name: queries * (attack.forward_passes(ball) + 1)
        for name, attack in {**battery.white_box, "noise": battery.noise}.items()
    }
    drawn = min(queries, battery.square_queries)
    # The result is encoded with the clean images of the queries that Square did not take.
    passes["square"] = drawn * (battery.square.forward_passes(ball) + 1) + queries
    compared = (
        battery.pruning.queries if battery.pruning and battery.pruning.queries < queries else 0
    )
    passes["square"] += min(compared, drawn)
    gate_attack = battery.white_box[battery.gate_attack]
    if sources:
        per_query = gate_attack.forward_passes(ball) + 2
        passes["transfer"] = sources * (queries * per_query + compared)
    per_query = gate_passes(battery.gates, gate_attack, battery.gate_budget, ball)
    passes["gates"] = min(queries, battery.gate_budget.queries) * per_query
    return passes


def run_battery(
    victim: Victim,
    runner: AttackRunner,
    battery: Battery,
    sources: Mapping[str, Victim] | None = None,
) -> Evaluation:
    """Attack a victim with everything, then run the gates.

    A network that draws noise is measured under one fixed draw, for which its codes are computed
    anew; the gate ``deterministic`` says that its numbers vary, and they depend on the batch size.

    ``sources`` are other models with the same queries, by name. The ``attacks`` of the result are
    those of the battery; ``noise`` and ``square`` are the controls, ``transfer.NAME`` images made
    on a source, ``NAME.bpda`` an attack through a stand-in, ``NAME.leaky`` one through rectifiers
    that are off.

    Raises:
        InputError: a source with other queries or no input gradients.
    """
    traits = model_traits(victim.network, victim.images)
    networks = gradient_networks_of(victim.network, traits)
    if traits.randomised:
        fixed, limit = Adapted(victim.network), len(victim.rows)
        victim = Victim(fixed, victim.data, victim.kind, victim.top_k, victim.ties, limit)
    runs = {
        name + suffix: Run(victim.attacked_through(network), name, attack)
        for suffix, network in networks.items()
        for name, attack in battery.white_box.items()
    }
    sample = None if traits.randomised else _sample(battery, len(victim.rows), runner.seed)
    taken: dict[str, Tensor] = {}
    if battery.pruning is None or sample is None:
        results = {name: runner.attack(*run) for name, run in runs.items()}
    else:
        results, taken = run_pruned(runner, runs, sample, battery.pruning)
    white_box = list(results)
    results["noise"] = runner.attack(victim, "noise", battery.noise)
    gate_attack = battery.white_box[battery.gate_attack]
    drawn = drawn_queries(len(victim.rows), battery.square_queries, "square", runner.seed)
    tolerance = battery.pruning.tolerance if battery.pruning else 0.0
    found = controls(victim, battery.square, drawn, gate_attack, sources or {})
    for name, (run, wanted) in found.items():
        untargeted = [result.ap for result in results.values() if result.target is None]
        worst = torch.stack([victim.clean_ap, *untargeted]).amin(0)
        positions, results[name] = run_control(
            runner, victim, name, run, wanted, worst, sample, tolerance
        )
        if len(positions) < len(victim.rows):
            taken[name] = positions
    context = GateContext(
        victim=victim,
        traits=traits,
        gradient_networks=networks,
        runner=runner,
        results=results,
        white_box=white_box,
        query_indices=taken,
        gate_attack=replace(gate_attack, restarts=1),
        positions=drawn_queries(
            len(victim.rows), battery.gate_budget.queries, "gates", runner.seed
        ),
        gate_budget=battery.gate_budget,
    )
    return replace(
        Evaluation.of(victim, runner.threat),
        attacks=results,
        gate_results=run_gates(context, battery.gates),
        query_indices=taken,
        skipped={} if networks else dict.fromkeys(battery.white_box, traits.skipping),
    )


def _sample(battery: Battery, queries: int, seed: int) -> Tensor | None:
    """The queries that meet everything, which Square takes too; None where all do."""
    if battery.pruning is None or battery.pruning.queries >= queries:
        return None
    return drawn_queries(queries, battery.pruning.queries, "square", seed)
