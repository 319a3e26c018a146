"""The scale gate: a large last layer hides gradients without changing a single code."""

from dataclasses import replace

import torch

from saat.attacks.mainstay import MainstayAttack
from saat.bootstrap import bootstrap_interval
from saat.models import encode
from saat.reliability.context import GateContext, GateResult
from saat.reliability.strength import means, significantly_above
from saat.thresholds import SATURATED_SHARE, SCALE_CHANGE, SCALE_TOLERANCE

SCALES = (0.1, 60.0)


def scale(context: GateContext) -> GateResult:
    """The published attack is as strong as on rescaled features, the gate attack at any scale.

    Two runs of the mainstay attack differ only in the division by the median magnitude of every
    bit's feature: what the second finds more was hidden by the scale. A bit whose feature saturates
    tanh gives no gradient at all. For the gate attack the network's output is multiplied.
    """
    saturated = _saturated(context)
    published = MainstayAttack(steps=context.gate_budget.published_steps)
    as_is = context.run(published, name="published").ap
    rescaled = context.run(replace(published, rescale=True), name="published").ap
    hidden = significantly_above(as_is, rescaled, SCALE_TOLERANCE)
    unscaled = context.run_gate_attack().ap
    scaled = {
        f"probe at scale {factor:g}": context.run_gate_attack(factor=factor).ap for factor in SCALES
    }
    unstable = [
        name for name, ap in scaled.items() if abs(float((ap - unscaled).mean())) > SCALE_CHANGE
    ]
    gap = bootstrap_interval(as_is - rescaled)
    detail = (
        f"the published attack leaves {100 * gap.mean:.1f} points of MAP more than on rescaled "
        f"features (95 %: {100 * gap.low:.1f} to {100 * gap.high:.1f})"
    )
    if hidden or saturated > SATURATED_SHARE:
        detail += (
            f", and {100 * saturated:.0f} % of the features saturate tanh: their scale hides "
            "gradients from it"
        )
    if unstable:
        detail += f"; changed by the scale: {', '.join(unstable)}"
    measured = {
        "published": float(as_is.mean()),
        "published, rescaled": float(rescaled.mean()),
        "saturated": saturated,
        **means({"probe": unscaled, **scaled}),
    }
    passed = not hidden and not unstable and saturated <= SATURATED_SHARE
    return GateResult("scale", passed, detail, measured)


def _saturated(context: GateContext) -> float:
    """Fraction of clean queries' features at which the float32 gradient of tanh is exactly 0."""
    images = context.sample.images
    features = encode(context.gradient_network, lambda part: images[part], len(images))
    return float((1 - torch.tanh(features.float()).square() == 0).float().mean())
