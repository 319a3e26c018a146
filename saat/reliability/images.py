"""Gates on what an attack hands over: the budget, and that nothing changes without one."""

from dataclasses import replace

import torch

from saat.reliability.context import GateContext, GateResult
from saat.wording import counted

# An ε read from a file may lie a rounding error below the grid of bytes.
_SLACK = 1e-6
ZERO_EPS_STEPS = 3


def budget(context: GateContext) -> GateResult:
    """Every attacked image is bytes of the right shape within the ball."""
    threat, originals = context.runner.threat, context.victim.images
    largest, wrong = 0.0, []
    for name, result in context.results.items():
        same = result.images.dtype == torch.uint8 and result.images.shape == originals.shape
        size = float(threat.size(result.images, originals).max()) if same else float("inf")
        largest = max(largest, size)
        if not size <= threat.eps * (1 + _SLACK):
            wrong.append(name)
    where = f", broken by {', '.join(wrong)}" if wrong else ""
    detail = f"largest {threat.norm} change {largest:.6g} of {threat.eps:.6g}{where}"
    return GateResult("budget", not wrong, detail, {"largest": largest, "eps": threat.eps})


def zero_eps(context: GateContext) -> GateResult:
    """In a ball of radius 0 the attacked images, codes and AP are the clean ones."""
    nothing = replace(context.runner.threat, eps=0.0)
    result = context.run_gate_attack(nothing, ZERO_EPS_STEPS)
    moved = int((result.images != context.sample.images).flatten(1).any(1).sum())
    # Encoded together: the draws of a network with noise depend on an image's place in its batch.
    clean = context.sample.codes(context.sample.images)
    other = int((result.codes != clean).any(1).sum())
    gap = float((result.ap - context.sample.ap(clean)).abs().max())
    passed = moved == other == gap == 0
    both = f"{counted(moved, 'image')} and {counted(other, 'code')}"
    detail = f"at ε = 0, {both} of {len(result.ap)} differ from clean"
    return GateResult("zero_eps", passed, detail, {"images": moved, "codes": other, "ap": gap})
