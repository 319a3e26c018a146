"""What the gates cost: forward passes of one image, counted without running any."""

from collections.abc import Sequence
from dataclasses import replace

from saat.attacks import Attack
from saat.attacks.interface import gradient_passes
from saat.attacks.mainstay import MainstayAttack
from saat.reliability.context import GateBudget
from saat.reliability.directions import GATE_PASSES as DIRECTION_PASSES
from saat.reliability.images import ZERO_EPS_STEPS
from saat.reliability.strength import SCALES
from saat.threat_model import ThreatModel

# (radius as a multiple of the ball's, or a name; factor of the features, attack): gates that ask
# for the same attack share one run.
_Run = tuple[float | str, float, Attack]


# Beside attacks: clean codes, features that may saturate.
_OTHER_PASSES = {"zero_eps": 1, "scale": 1} | {
    gate: gradient_passes(gradients) + forward
    for gate, (gradients, forward) in DIRECTION_PASSES.items()
}


def gate_passes(
    gates: Sequence[str], attack: Attack, budget: GateBudget, threat: ThreatModel
) -> float:
    """Forward passes of one image that the gates spend on one of their queries.

    An input gradient counts as :data:`saat.attacks.interface.GRADIENT_PASSES`. Only the gates of
    this package are counted. A network that draws noise costs more: see ``deterministic``. The
    ``steps`` of ``attack``, the gate attack, are the battery's own.
    """
    attack = replace(attack, restarts=1)
    own = replace(attack, steps=budget.steps)
    published = MainstayAttack(steps=budget.published_steps)
    whole: _Run = ("all", 1.0, own)
    lengths = {*budget.iterations, attack.steps}
    by_gate: dict[str, list[_Run]] = {
        "zero_eps": [("zero", 1.0, replace(attack, steps=ZERO_EPS_STEPS))],
        "monotone": [*((radius, 1.0, own) for radius in budget.radii), whole],
        "floor": [whole],
        "plateau": [(1.0, 1.0, replace(attack, steps=steps)) for steps in lengths],
        "scale": [
            (1.0, 1.0, published),
            (1.0, 1.0, replace(published, rescale=True)),
            *((1.0, factor, own) for factor in (1.0, *SCALES)),
        ],
    }
    runs = {run for gate in gates for run in by_gate.get(gate, ())}
    # Codes of the attacked images are computed once more.
    attacks = sum(run.forward_passes(threat) + 1 for _, _, run in runs)
    return attacks + sum(_OTHER_PASSES.get(gate, 0) for gate in gates)
