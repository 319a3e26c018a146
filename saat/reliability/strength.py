"""Gates on the strength of the attacks: at any scale, radius, and number of iterations."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from saat.attacks.mainstay import MainstayAttack
from saat.bootstrap import bootstrap_interval
from saat.models import encode
from saat.reliability.context import GateContext, GateResult, StrengthCurve
from saat.threat_model import ThreatModel
from saat.thresholds import (
    FLOOR_TOLERANCE,
    MONOTONE_TOLERANCE,
    PLATEAU_TOLERANCE,
    SATURATED_SHARE,
    SCALE_CHANGE,
    SCALE_TOLERANCE,
)
from saat.victim import AttackResult

# scale: factors of the features.
SCALES = (0.1, 60.0)


def significantly_above(higher: Tensor, lower: Tensor, tolerance: float) -> bool:
    """Whether the mean AP (Q,) is significantly above another by more than a tolerance."""
    return bootstrap_interval(higher - lower).low > tolerance


def whole_range(threat: ThreatModel, pixels: int) -> ThreatModel:
    """The ball that contains every image of ``pixels`` values in [0, 1]."""
    return replace(threat, eps={"linf": 1.0, "l2": pixels**0.5, "l1": float(pixels)}[threat.norm])


def _means(aps: Mapping[str, Tensor]) -> dict[str, float]:
    """MAP by name, of AP per query."""
    return {name: float(ap.mean()) for name, ap in aps.items()}


def _listed(maps: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {100 * value:.1f}" for name, value in maps.items())


def _describe_rises(aps: Mapping[str, Tensor]) -> tuple[bool, str]:
    """Whether MAP falls along the names, and a phrase on where it rises."""
    rises = [
        f"{before} → {after}"
        for (before, lower), (after, higher) in pairwise(aps.items())
        if significantly_above(higher, lower, MONOTONE_TOLERANCE)
    ]
    return not rises, f"rises at {', '.join(rises)}" if rises else "falls"


def monotone(context: GateContext) -> GateResult:
    """MAP does not rise with the radius."""
    threat = context.runner.threat
    by_radius = {0.0: context.sample.clean_ap}
    for multiple in context.gate_budget.radii:
        ball = None if multiple == 1 else replace(threat, eps=multiple * threat.eps)
        by_radius[multiple * threat.eps] = context.run_gate_attack(ball).ap
    aps = {f"{radius:.4g}": ap for radius, ap in by_radius.items()}
    aps["all"] = _unbounded(context).ap
    falls, said = _describe_rises(aps)
    measured, curve = _means(aps), StrengthCurve("eps", by_radius, context.positions)
    said = f"MAP over ε {said} ({_listed(measured)})"
    return GateResult("monotone", falls, said, measured, curve)


def floor(context: GateContext) -> GateResult:
    """With the whole image range allowed, the attack reaches the code that it aims for."""
    result = _unbounded(context)
    reached, theory = float(result.ap.mean()), float(result.theory_ap.mean())
    passed = not significantly_above(result.ap, result.theory_ap, FLOOR_TOLERANCE)
    detail = f"any image allowed: MAP {100 * reached:.1f}, theoretical floor {100 * theory:.1f}"
    return GateResult("floor", passed, detail, {"reached": reached, "theory": theory})


def _unbounded(context: GateContext) -> AttackResult:
    pixels = context.sample.images[:1].numel()
    return context.run_gate_attack(whole_range(context.runner.threat, pixels))


def plateau(context: GateContext) -> GateResult:
    """MAP falls with the iterations, and has settled at the battery's own number."""
    own = context.gate_attack.steps
    lengths = sorted({*context.gate_budget.iterations, own})
    by_steps = {float(steps): context.run_gate_attack(steps=steps).ap for steps in lengths}
    aps = {f"T={steps:.0f}": ap for steps, ap in by_steps.items()}
    falls, said = _describe_rises(aps)
    moving = significantly_above(aps[f"T={own}"], aps[f"T={lengths[-1]}"], PLATEAU_TOLERANCE)
    if moving:
        said += f" and is still moving after T={own}"
    measured = _means(aps)
    detail = f"MAP over T {said} ({_listed(measured)})"
    curve = StrengthCurve("steps", by_steps, context.positions)
    return GateResult("plateau", falls and not moving, detail, measured, curve)


def black_box(context: GateContext) -> GateResult:
    """No attack without gradients of this network leaves a lower MAP than the white box."""
    white = torch.stack([context.results[name].ap for name in context.white_box]).amin(0)
    stronger, measured = [], {}
    for name, result in context.results.items():
        if name in context.white_box or result.target is not None:
            continue
        rows = context.query_indices.get(name, slice(None))
        measured[name] = float(result.ap[rows].mean())
        measured[f"white box for {name}"] = float(white[rows].mean())
        if significantly_above(white[rows], result.ap[rows], 0.0):
            stronger.append(name)
    said = f"stronger than the white box: {', '.join(stronger)}" if stronger else "all weaker"
    detail = f"attacks without gradients {said} ({_listed(measured)})"
    return GateResult("black_box", not stronger, detail, measured)


def scale(context: GateContext) -> GateResult:
    """The scale of the features weakens neither the published attack nor the gate attack.

    Two runs of the mainstay attack differ only in the division by the median magnitude of every
    bit's feature. If the second run leaves a lower MAP, the scale hid gradients from the first. A
    bit whose feature saturates tanh gives no gradient at all. The gate attack must leave the same
    MAP when the network's output is multiplied.
    """
    saturated = _saturated(context)
    published = MainstayAttack(steps=context.gate_budget.published_steps)
    as_is = context.run(published, name="published").ap
    rescaled = context.run(replace(published, rescale=True), name="published").ap
    hidden = significantly_above(as_is, rescaled, SCALE_TOLERANCE)
    unscaled = context.run_gate_attack().ap
    scaled = {
        f"gate attack at scale {factor:g}": context.run_gate_attack(factor=factor).ap
        for factor in SCALES
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
        **_means({"gate attack": unscaled, **scaled}),
    }
    passed = not hidden and not unstable and saturated <= SATURATED_SHARE
    return GateResult("scale", passed, detail, measured)


def _saturated(context: GateContext) -> float:
    """Fraction of clean queries' features at which the float32 gradient of tanh is exactly 0."""
    images = context.sample.images
    features = encode(context.gradient_network, lambda part: images[part], len(images))
    return float((1 - torch.tanh(features.float()).square() == 0).float().mean())
