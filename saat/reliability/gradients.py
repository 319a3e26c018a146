"""Gates on whether there are gradients at all."""

from saat.reliability.case import Case, Verdict
from saat.sanity import ZERO_GRADIENT_TOLERANCE


def differentiable(case: Case) -> Verdict:
    """There is a gradient, of the network itself or of its stand-in."""
    zero, stand_in = case.nature.zero_gradient, case.nature.surrogate
    measured = {"zero_gradient": zero, "surrogate": float(stand_in)}
    if not case.nature.blind:
        return Verdict("differentiable", True, "the network has input gradients", measured)
    if stand_in:
        detail = f"{case.nature.no_gradients}; attacked through the stand-in the network offers"
        return Verdict("differentiable", True, detail, measured)
    detail = f"{case.nature.no_gradients} and no stand-in: only black-box attacks were possible"
    return Verdict("differentiable", False, detail, measured)


def zero_gradient(case: Case) -> Verdict:
    """Few input gradients are exactly zero, to the attack that sees most of them.

    An attack that has nothing left to gain may see many: that says nothing about the network.
    """
    found = {name: case.results[name].zero_gradient for name in case.white_box}
    name, least = min(found.items(), key=lambda item: item[1])
    detail = f"{100 * least:.1f} % of the input gradients are exactly zero under {name}"
    return Verdict("zero_gradient", least <= ZERO_GRADIENT_TOLERANCE, detail, found)
