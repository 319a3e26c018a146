"""The battery: the strongest attacks on one model, their worst case, and whether to believe it.

Per query the minimum AP over all attacks, restarts, the clean image and random noise counts
(targeted attacks: the maximum t-AP). Codes are computed from images rounded to bytes. The gates of
:mod:`saat.reliability` decide whether the number is reliable.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saat.adaptive import (
    Adapted,
    attacked_through,
    gradient_networks_of,
    model_traits,
    on_queries,
    rebuilt,
)
from saat.attack_runner import AttackRunner, measured
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
)
from saat.attacks.noise import Noise
from saat.bootstrap import Interval, bootstrap_interval
from saat.errors import InputError, check_known
from saat.registry import Registry, instance_of
from saat.reliability import (
    CORE_GATE_BUDGET,
    FULL_GATE_BUDGET,
    STANDARD_GATES,
    GateBudget,
    GateContext,
    GateResult,
    run_gates,
)
from saat.seeding import generator
from saat.threat_model import ThreatModel
from saat.transfer import Source, mainstay_floor, transfer
from saat.victim import AttackResult, Victim


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
        version: raised with every change of the attacks, their options or the gates' budget.
    """

    white_box: Mapping[str, Attack]
    square: Square
    square_queries: int
    gate_budget: GateBudget
    gate_attack: str = "apgd_mainstay"
    gates: Sequence[str] = STANDARD_GATES
    noise: Noise = field(default_factory=lambda: Noise(restarts=2))
    version: int = 1

    def __post_init__(self) -> None:
        if self.gate_attack not in self.white_box:
            known = ", ".join(self.white_box)
            raise InputError(
                f"battery: gate_attack {self.gate_attack!r}: one of its attacks, {known}"
            )


def _core() -> Battery:
    attacks = {
        "apgd_mainstay": ApgdMainstay(steps=15, restarts=2),
        "apgd_smoothap": ApgdSmoothAP(steps=15, restarts=2),
    }
    return Battery(attacks, Square(steps=100), 64, CORE_GATE_BUDGET)


def _full() -> Battery:
    attacks: dict[str, Attack] = {
        "apgd_mainstay": ApgdMainstay(steps=100, restarts=5),
        "apgd_margin": ApgdMargin(steps=100, restarts=5),
        "apgd_smoothap": ApgdSmoothAP(steps=100, restarts=5),
        "masked_mainstay": MaskedMainstay(steps=100),
        "multi_target": MultiTarget(steps=100),
        "apgd_mainstay_targeted": TargetedApgdMainstay(steps=100),
        "apgd_margin_targeted": TargetedApgdMargin(steps=100),
        # With their published numbers of iterations.
        "mainstay": MainstayAttack(),
        "hag": HAG(),
        "sdha": SDHA(),
    }
    return Battery(attacks, Square(), 500, FULL_GATE_BUDGET)


BATTERIES: Registry[Battery] = Registry(
    "battery",
    "saat.batteries",
    {"core": _core(), "full": _full()},
    problem=instance_of(Battery),
    reserved="none",
)


@dataclass(frozen=True)
class BatteryResult:
    """What the battery found; tensors on the CPU.

    Attributes:
        rows: int64 (Q,), rows of the data set that were the queries.
        clean_ap: float64 (Q,).
        chance_ap: float64 (Q,), AP of a random order.
        results: name → result, all of full length. ``noise`` and ``square`` are the controls,
            ``transfer.NAME`` images from elsewhere, ``NAME.bpda`` an attack through a stand-in,
            ``NAME.leaky`` one through rectifiers that are off.
        query_indices: positions of the queries that an attack was run on, where not all; the others
            are clean.
        gate_results: of the gates.
        skipped: attack that could not be run → why.
    """

    rows: np.ndarray
    clean_ap: Tensor
    chance_ap: Tensor
    results: Mapping[str, AttackResult]
    query_indices: Mapping[str, Tensor]
    gate_results: Sequence[GateResult]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def worst_ap(self) -> Tensor:
        """Per query the minimum over the clean image and everything untargeted: float64 (Q,)."""
        found = [result.ap for result in self.results.values() if result.target is None]
        return torch.stack([self.clean_ap, *found]).amin(0)

    @property
    def worst_target_ap(self) -> Tensor | None:
        """Per query the maximum t-AP: float64 (Q,); None without targeted attacks."""
        targets = [result.target for result in self.results.values() if result.target is not None]
        found = [ap for target in targets for ap in (target.clean_ap, target.ap)]
        return torch.stack(found).amax(0) if found else None

    @property
    def robust_map(self) -> Interval:
        """Mean of :attr:`worst_ap` and its interval over queries, in [0, 1]."""
        return bootstrap_interval(self.worst_ap)

    @property
    def reliable(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gate_results)

    @property
    def reasons(self) -> list[str]:
        """One sentence per failed gate."""
        return [f"{gate.name}: {gate.detail}" for gate in self.gate_results if not gate.passed]


def run_battery(
    victim: Victim,
    threat: ThreatModel,
    battery: str | Battery = "full",
    sources: Sequence[Source] = (),
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
    store: Path | None = None,
    target_seed: int = 0,
    batch_size: int = 128,
) -> BatteryResult:
    """Attack a victim with everything, then run the gates.

    A network that draws noise is measured under one fixed draw, for which its codes are computed
    anew; the gate ``deterministic`` says that its numbers vary, and they depend on the batch size.

    Args:
        victim: the model and its queries.
        threat: the ball.
        battery: a name in :data:`BATTERIES`, or one of your own.
        sources: models or images for transfer.
        seed: of random starts and of the queries that gates draw.
        progress: called with (attack name, queries done, queries in all).
        store: folder in which every finished attack is kept; a battery started again with the same
            arguments and model takes them from there.
        target_seed: seed of the target labels.
        batch_size: queries attacked together; never changes a result of a network without noise.

    Raises:
        InputError: an unknown battery, or a source that does not fit.
    """
    chosen = _named(battery)
    runner = AttackRunner(threat, seed, target_seed, batch_size, store, progress)
    traits = model_traits(victim.network, victim.images)
    networks = gradient_networks_of(victim.network, traits)
    if traits.randomised:
        victim = rebuilt(victim, Adapted(victim.network))
    results = {
        name + suffix: runner.attack(attacked_through(victim, network), name, attack)
        for suffix, network in networks.items()
        for name, attack in chosen.white_box.items()
    }
    white_box = list(results)
    results["noise"] = runner.attack(victim, "noise", chosen.noise)
    results["square"], positions = _square(runner, victim, chosen)
    for source in sources:
        attack = chosen.white_box[chosen.gate_attack]
        results[f"transfer.{source.name}"] = transfer(runner, victim, source, attack)
    context = GateContext(
        victim=victim,
        traits=traits,
        gradient_networks=networks,
        runner=runner,
        results=results,
        white_box=white_box,
        query_indices={"square": positions},
        gate_attack=replace(chosen.white_box[chosen.gate_attack], restarts=1),
        positions=_drawn(len(victim.rows), chosen.gate_budget.queries, "gates", seed),
        gate_budget=chosen.gate_budget,
    )
    return BatteryResult(
        rows=victim.rows,
        clean_ap=victim.clean_ap,
        chance_ap=victim.chance_ap,
        results=results,
        query_indices=context.query_indices,
        gate_results=run_gates(context, chosen.gates),
        skipped={} if networks else dict.fromkeys(chosen.white_box, traits.skipping),
    )


def _named(battery: str | Battery) -> Battery:
    if isinstance(battery, Battery):
        return battery
    check_known("battery", battery, BATTERIES)
    return BATTERIES[battery]


def _square(runner: AttackRunner, victim: Victim, battery: Battery) -> tuple[AttackResult, Tensor]:
    """Square on the queries drawn for it, clean images for the others; and their positions."""
    positions = _drawn(len(victim.rows), battery.square_queries, "square", runner.seed)
    found = runner.attack(on_queries(victim, positions), "square", battery.square)
    images = victim.images.clone()
    images[positions] = found.images
    return measured(victim, images, mainstay_floor(victim)), positions


def _drawn(queries: int, count: int, purpose: str, seed: int) -> Tensor:
    """Sorted positions of at most ``count`` queries: int64."""
    order = torch.randperm(queries, generator=generator("battery", purpose, seed))
    return order[:count].sort().values
