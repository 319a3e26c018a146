"""The gate on randomness: a network that draws noise has no single number."""

import torch

from saat.adaptive import Adapted
from saat.reliability.context import GateContext, GateResult

_DRAWS = 3


def deterministic(context: GateContext) -> GateResult:
    """Equal images have equal codes."""
    if not context.traits.randomised:
        return GateResult("deterministic", True, "two passes over the same images agree")
    network = context.victim.network
    inner = network.network if isinstance(network, Adapted) else network
    codes, maps = [], []
    for draw in range(_DRAWS):
        drawn = Adapted(inner, 1, draw=draw + 1)
        victim = context.sample.attacked_through(drawn)
        codes.append(victim.codes(victim.images))
        maps.append(float(victim.ap(codes[-1]).mean()))
    differ = torch.stack([(code != codes[0]).float().mean() for code in codes[1:]]).mean()
    measured = {"bits": float(differ), "lowest": min(maps), "highest": max(maps)}
    detail = (
        f"the network draws noise: {100 * float(differ):.1f} % of the bits change from draw to "
        f"draw, clean MAP lies between {100 * min(maps):.1f} and {100 * max(maps):.1f}; numbers "
        "are those of one draw and vary"
    )
    return GateResult("deterministic", False, detail, measured)
