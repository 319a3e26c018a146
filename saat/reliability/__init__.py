"""Reliability gates, which a robust MAP has to pass before it can be trusted.

Each gate is one small function, and none knows anything about defenses. ``docs/reliability.md``
says what each gate checks and what its failure means.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from saat.registry import Registry, instance_of
from saat.reliability import directions, images, network, strength
from saat.reliability.context import GateBudget, GateContext, GateResult, StrengthCurve


class Gate(NamedTuple):
    """A row of :data:`GATES`.

    Attributes:
        check: the gate.
        by_gradient: whether it needs input gradients. It is left out if there are none;
            ``differentiable`` fails then.
        version: raised when the measurement or a threshold of the gate changes.
    """

    check: Callable[[GateContext], GateResult]
    by_gradient: bool = True
    version: int = 1


# Cheap ones first.
_OWN = {
    "budget": Gate(images.budget, by_gradient=False),
    "above_chance": Gate(network.above_chance, by_gradient=False),
    "deterministic": Gate(network.deterministic, by_gradient=False),
    "differentiable": Gate(network.differentiable, by_gradient=False),
    "zero_gradient": Gate(network.zero_gradient),
    "direction": Gate(directions.direction),
    "smooth": Gate(directions.smooth),
    "zero_eps": Gate(images.zero_eps),
    "scale": Gate(strength.scale),
    "monotone": Gate(strength.monotone),
    "floor": Gate(strength.floor),
    "plateau": Gate(strength.plateau),
    "black_box": Gate(strength.black_box),
}
GATES: Registry[Gate] = Registry("gate", "saat.gates", _OWN, problem=instance_of(Gate))
# Gates of other packages run only in batteries that name them.
STANDARD_GATES = tuple(_OWN)


def run_gates(context: GateContext, names: Sequence[str] = STANDARD_GATES) -> list[GateResult]:
    """Run the named gates; those that need a gradient are left out if there is none."""
    gates = (GATES[name] for name in names)
    seeing = bool(context.gradient_networks)
    return [gate.check(context) for gate in gates if seeing or not gate.by_gradient]


__all__ = [
    "GATES",
    "STANDARD_GATES",
    "Gate",
    "GateBudget",
    "GateContext",
    "GateResult",
    "StrengthCurve",
    "run_gates",
]
