"""The battery: the strongest attacks on one model, their worst case, and whether to believe it.

Per query the minimum AP over all attacks, restarts, the clean image and random noise counts
(targeted attacks: the maximum t-AP). Codes are computed from images rounded to bytes. The gates of
:mod:`saat.reliability` decide whether the number is reliable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
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
)
from saat.attacks.noise import Noise
from saat.errors import InputError
from saat.evaluation import Evaluation
from saat.mainstay import mainstay_codes
from saat.registry import Registry, instance_of
from saat.reliability import STANDARD_GATES, GateBudget, GateContext, run_gates
from saat.seeding import generator
from saat.victim import AttackResult, Victim

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
        version: raised with every change of the attacks, their options or the gates' budget.
    """

    white_box: Mapping[str, Attack]
    square: Square
    square_queries: int
    gate_budget: GateBudget
    gate_attack: str = "apgd_mainstay"
    gates: Sequence[str] = STANDARD_GATES
    noise: Noise = _NOISE
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
_FULL = Battery(
    {
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
    },
    Square(),
    500,
    # Radii as multiples of 8/255: 1, 2, 4, 8, 16 and 32 levels of a byte.
    GateBudget(128, (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), 100, (1, 10, 50, 100, 500, 1000), 100),
    version=2,
)
BATTERIES: Registry[Battery] = Registry(
    "battery",
    "saat.batteries",
    {"core": _CORE, "full": _FULL},
    problem=instance_of(Battery),
    reserved="none",
)


def run_battery(
    victim: Victim,
    runner: AttackRunner,
    battery: Battery,
    sources: Mapping[str, Victim] | None = None,
) -> Evaluation:
    """Attack a victim with everything, then run the gates.

    A network that draws noise is measured under one fixed draw, for which its codes are computed
    anew; the gate ``deterministic`` says that its numbers vary, and they depend on the batch size.

    Args:
        victim: the model and its queries.
        runner: the ball, seeds, and where finished attacks are kept.
        battery: what is run.
        sources: name → another model with the same queries, for transfer.

    Returns:
        Its ``attacks`` are those of the battery; ``noise`` and ``square`` are the controls,
        ``transfer.NAME`` images made on a source, ``NAME.bpda`` an attack through a stand-in,
        ``NAME.leaky`` one through rectifiers that are off.

    Raises:
        InputError: a source with other queries or no input gradients.
    """
    traits = model_traits(victim.network, victim.images)
    networks = gradient_networks_of(victim.network, traits)
    if traits.randomised:
        fixed, limit = Adapted(victim.network), len(victim.rows)
        victim = Victim(fixed, victim.data, victim.kind, victim.top_k, victim.ties, limit)
    results = {
        name + suffix: runner.attack(victim.attacked_through(network), name, attack)
        for suffix, network in networks.items()
        for name, attack in battery.white_box.items()
    }
    white_box = list(results)
    results["noise"] = runner.attack(victim, "noise", battery.noise)
    drawn = _drawn(len(victim.rows), battery.square_queries, "square", runner.seed)
    results["square"] = _square(runner, victim, battery.square, drawn)
    gate_attack = battery.white_box[battery.gate_attack]
    for name, source in (sources or {}).items():
        results[f"transfer.{name}"] = _transferred(runner, victim, name, source, gate_attack)
    query_indices = {"square": drawn} if len(drawn) < len(victim.rows) else {}
    context = GateContext(
        victim=victim,
        traits=traits,
        gradient_networks=networks,
        runner=runner,
        results=results,
        white_box=white_box,
        query_indices=query_indices,
        gate_attack=replace(gate_attack, restarts=1),
        positions=_drawn(len(victim.rows), battery.gate_budget.queries, "gates", runner.seed),
        gate_budget=battery.gate_budget,
    )
    return replace(
        Evaluation.of(victim, runner.threat),
        attacks=results,
        gate_results=run_gates(context, battery.gates),
        query_indices=query_indices,
        skipped={} if networks else dict.fromkeys(battery.white_box, traits.skipping),
    )


def _drawn(queries: int, count: int, purpose: str, seed: int) -> Tensor:
    """Sorted positions of at most ``count`` queries: int64."""
    order = torch.randperm(queries, generator=generator("battery", purpose, seed))
    return order[:count].sort().values


def _square(
    runner: AttackRunner, victim: Victim, attack: Square, positions: Tensor
) -> AttackResult:
    """Square on the queries drawn for it, clean images for the others."""
    images = victim.images.clone()
    images[positions] = runner.attack(victim.on_queries(positions), "square", attack).images
    return victim.measured(images, _farthest_codes(victim), positions=positions)


def _transferred(
    runner: AttackRunner, victim: Victim, name: str, source: Victim, attack: Attack
) -> AttackResult:
    """Images that an untargeted attack makes on ``source``, measured on ``victim``."""
    if not np.array_equal(source.rows, victim.rows):
        raise InputError(f"source {name}: its queries are not those of the victim")
    if attack.by_gradient and not model_traits(source.network, victim.images).differentiable:
        raise InputError(f"source {name}: no input gradients to make images with")
    images = runner.attack(source, f"source.{name}", attack).images
    return victim.measured(images, _farthest_codes(victim))


def _farthest_codes(victim: Victim) -> Tensor:
    """Negated mainstay codes (Q, K): the theoretical result of attacks without a goal."""
    codes, labels = victim.knowledge.train_codes, victim.knowledge.train_labels
    return -mainstay_codes(victim.labels.to(codes.device), codes, labels).cpu()
