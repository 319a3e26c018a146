"""Gates that a robustness number has to pass before anybody believes it.

One small function a gate; none of them knows what a defense does. ``docs/reliability.md`` says
what each looks for and what its failure means.
"""

from collections.abc import Callable, Mapping, Sequence

from saat.reliability.clean import above_chance
from saat.reliability.context import (
    CORE_GATE_BUDGET,
    FULL_GATE_BUDGET,
    GateBudget,
    GateContext,
    GateResult,
)
from saat.reliability.directions import direction, smooth
from saat.reliability.gradients import differentiable, zero_gradient
from saat.reliability.images import budget, zero_eps
from saat.reliability.randomness import deterministic
from saat.reliability.scale import scale
from saat.reliability.strength import black_box, floor, monotone, plateau

Gate = Callable[[GateContext], GateResult]

# Cheap ones first.
GATES: Mapping[str, Gate] = {
    "budget": budget,
    "above_chance": above_chance,
    "deterministic": deterministic,
    "differentiable": differentiable,
    "zero_gradient": zero_gradient,
    "direction": direction,
    "smooth": smooth,
    "zero_eps": zero_eps,
    "scale": scale,
    "monotone": monotone,
    "floor": floor,
    "plateau": plateau,
    "black_box": black_box,
}

# Without a gradient these have nothing to look at, and ``differentiable`` has failed.
_BY_GRADIENT = frozenset(GATES) - {"budget", "above_chance", "deterministic", "differentiable"}


def run_gates(context: GateContext, names: Sequence[str] = tuple(GATES)) -> list[GateResult]:
    """Results of the named gates; those that need a gradient are left out where there is none."""
    return [GATES[name](context) for name in names if context.views or name not in _BY_GRADIENT]


__all__ = [
    "CORE_GATE_BUDGET",
    "FULL_GATE_BUDGET",
    "GATES",
    "Gate",
    "GateBudget",
    "GateContext",
    "GateResult",
    "ask",
]
