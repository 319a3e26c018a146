"""The gate on clean retrieval: where there is none, there is nothing to defend."""

from saat.reliability.context import GateContext, GateResult
from saat.reliability.strength import significantly_above
from saat.thresholds import CHANCE_MARGIN


def above_chance(context: GateContext) -> GateResult:
    """Clean MAP is more than that of a random order.

    A network that codes all images alike cannot be attacked; its robust MAP is that of chance,
    which on photographs with frequent labels is more than many a defense keeps.
    """
    clean, chance = context.victim.clean_ap, context.victim.chance_ap
    measured = {"clean_map": float(clean.mean()), "chance_map": float(chance.mean())}
    passed = not len(clean) or significantly_above(clean, chance, CHANCE_MARGIN)
    detail = (
        f"clean MAP {100 * measured['clean_map']:.1f}, chance {100 * measured['chance_map']:.1f}"
    )
    return GateResult("above_chance", passed, detail, measured)
