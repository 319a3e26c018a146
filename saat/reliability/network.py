"""Gates on the network: its clean retrieval, its randomness, its gradients."""

import torch

from saat.adaptive import Adapted
from saat.reliability.context import GateContext, GateResult
from saat.reliability.strength import significantly_above
from saat.thresholds import CHANCE_MARGIN, ZERO_GRADIENT_TOLERANCE

_DRAWS = 3


def above_chance(context: GateContext) -> GateResult:
    """Clean MAP is above that of a random order.

    A network that codes all images alike cannot be attacked. Its robust MAP is chance, which is
    more than many a defense keeps on photographs with frequent labels.
    """
    clean, chance = context.victim.clean_ap, context.victim.chance_ap
    measured = {"clean_map": float(clean.mean()), "chance_map": float(chance.mean())}
    passed = not len(clean) or significantly_above(clean, chance, CHANCE_MARGIN)
    detail = (
        f"clean MAP {100 * measured['clean_map']:.1f}, chance {100 * measured['chance_map']:.1f}"
    )
    return GateResult("above_chance", passed, detail, measured)


def deterministic(context: GateContext) -> GateResult:
    """Equal images have equal codes; a network that draws noise has no single MAP."""
    if not context.traits.randomised:
        return GateResult("deterministic", True, "two passes over the same images agree")
    network = context.victim.network
    inner = network.network if isinstance(network, Adapted) else network
    codes, maps = [], []
    for draw in range(_DRAWS):
        victim = context.sample.attacked_through(Adapted(inner, 1, draw=draw + 1))
        codes.append(victim.codes(victim.images))
        maps.append(float(victim.ap(codes[-1]).mean()))
    differ = float(torch.stack([(code != codes[0]).float().mean() for code in codes[1:]]).mean())
    measured = {"bits": differ, "lowest": min(maps), "highest": max(maps)}
    detail = (
        f"the network draws noise: {100 * differ:.1f} % of the bits change from draw to draw, "
        f"clean MAP lies between {100 * min(maps):.1f} and {100 * max(maps):.1f}; numbers are "
        "those of one draw and vary"
    )
    return GateResult("deterministic", False, detail, measured)


def differentiable(context: GateContext) -> GateResult:
    """The network has input gradients, or offers a differentiable stand-in."""
    traits = context.traits
    measured = {"zero_gradient": traits.zero_gradient, "surrogate": float(traits.surrogate)}
    if not traits.blind:
        detail = "the network has input gradients"
    elif traits.surrogate:
        detail = f"{traits.no_gradients}; attacked through the stand-in the network offers"
    else:
        detail = f"{traits.no_gradients} and no stand-in: only black-box attacks were possible"
    passed = traits.surrogate or not traits.blind
    return GateResult("differentiable", passed, detail, measured)


def zero_gradient(context: GateContext) -> GateResult:
    """Few input gradients are exactly zero, under the attack that has the fewest.

    An attack with nothing left to gain may have many, which says nothing about the network.
    """
    found = {name: context.results[name].zero_gradient for name in context.white_box}
    name, least = min(found.items(), key=lambda item: item[1])
    detail = f"{100 * least:.1f} % of the input gradients are exactly zero under {name}"
    return GateResult("zero_gradient", least <= ZERO_GRADIENT_TOLERANCE, detail, found)
