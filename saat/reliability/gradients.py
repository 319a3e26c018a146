"""Gates on whether there are gradients at all."""

from saat.reliability.context import GateContext, GateResult
from saat.thresholds import ZERO_GRADIENT_TOLERANCE


def differentiable(context: GateContext) -> GateResult:
    """There is a gradient, of the network itself or of its stand-in."""
    zero, stand_in = context.traits.zero_gradient, context.traits.surrogate
    measured = {"zero_gradient": zero, "surrogate": float(stand_in)}
    if not context.traits.blind:
        return GateResult("differentiable", True, "the network has input gradients", measured)
    if stand_in:
        detail = f"{context.traits.no_gradients}; attacked through the stand-in the network offers"
        return GateResult("differentiable", True, detail, measured)
    detail = f"{context.traits.no_gradients} and no stand-in: only black-box attacks were possible"
    return GateResult("differentiable", False, detail, measured)


def zero_gradient(context: GateContext) -> GateResult:
    """Under the attack with the fewest of them, few input gradients are exactly zero.

    An attack that has nothing left to gain may have many: that says nothing about the network.
    """
    found = {name: context.results[name].zero_gradient for name in context.white_box}
    name, least = min(found.items(), key=lambda item: item[1])
    detail = f"{100 * least:.1f} % of the input gradients are exactly zero under {name}"
    return GateResult("zero_gradient", least <= ZERO_GRADIENT_TOLERANCE, detail, found)
