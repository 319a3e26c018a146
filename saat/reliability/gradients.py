"""Gates on what gradients say: that there are any, and that they lead down."""

import torch
from torch import Tensor

from saat.attacks.attack import BATCH_GRAIN, frozen
from saat.attacks.objectives import agreement
from saat.attacks.pgd import input_gradient
from saat.models import device_of, evaluating, to_float
from saat.reliability.case import Case, Verdict
from saat.seeding import generator

# Exactly zero input gradients, as a fraction.
ZERO_TOLERANCE = 0.1
# Queries on which the gradient's step must beat the best random one, as a fraction.
USEFUL = 0.8
# Random directions, tried both ways.
_DIRECTIONS = 4
# Steps tried, as a share of the radius.
_STEPS = (0.125, 0.5)


def differentiable(case: Case) -> Verdict:
    """There is a gradient, of the network itself or of its stand-in."""
    zero, stand_in = case.nature.zero_gradient, case.nature.surrogate
    measured = {"zero_gradient": zero, "surrogate": float(stand_in)}
    if not case.nature.blind:
        return Verdict("differentiable", True, "the network has input gradients", measured)
    if stand_in:
        detail = "no input gradients; attacked through the stand-in the network offers"
        return Verdict("differentiable", True, detail, measured)
    detail = "no input gradients and no stand-in: only black-box attacks were possible"
    return Verdict("differentiable", False, detail, measured)


def zero_gradient(case: Case) -> Verdict:
    """Few input gradients are exactly zero, to the attack that sees most of them.

    An attack that has nothing left to gain may see many: that says nothing about the network.
    """
    found = {name: case.results[name].zero_gradient for name in case.white_box}
    name, least = min(found.items(), key=lambda item: item[1])
    detail = f"{100 * least:.1f} % of the input gradients are exactly zero under {name}"
    return Verdict("zero_gradient", least <= ZERO_TOLERANCE, detail, found)


def direction(case: Case) -> Verdict:
    """A step along the gradient lowers the loss by more than random steps of equal length."""
    shares = {f"{share:g} ε": _useful(case, share * case.arena.threat.eps) for share in _STEPS}
    worst = min(shares.values())
    detail = (
        f"a gradient step beats {2 * _DIRECTIONS} random ones on {100 * worst:.0f} % of "
        f"{len(case.positions)} queries"
    )
    return Verdict("direction", worst >= USEFUL, detail, shares)


def _useful(case: Case, length: float) -> float:
    """Fraction of queries on which the gradient's step of ``length`` is the best."""
    network, threat = case.view, case.arena.threat
    assert network is not None
    goals = _goals(case)
    scale = case.sample.knowledge.feature_scale
    won = 0
    with evaluating(network), frozen(network):
        for rows in torch.arange(len(goals)).split(4 * BATCH_GRAIN):
            images = to_float(case.sample.images[rows], device_of(network))
            goal = goals[rows.to(goals.device)]

            def loss(features: Tensor, _: int, goal: Tensor = goal) -> Tensor:
                return agreement(features / scale, goal, 1.0)

            def after(move: Tensor, images: Tensor = images, goal: Tensor = goal) -> Tensor:
                with torch.no_grad():
                    return loss(network((images + length * move).clamp(0, 1)), 0, goal)

            led = after(-threat.steepest(input_gradient(network, images, loss, 0)))
            tried = [
                after(way * threat.steepest(draw))
                for draw in _random(case, rows)
                for way in (1, -1)
            ]
            won += int((led < torch.stack(tried).amin(0)).sum())
    return won / max(len(goals), 1)


def _goals(case: Case) -> Tensor:
    knowledge = case.sample.knowledge
    device = knowledge.train_codes.device
    labels, codes = case.sample.labels.to(device), case.sample.query_codes.to(device)
    return case.probe.goal(case.probe.representatives(knowledge, labels, codes))


def _random(case: Case, rows: Tensor) -> list[Tensor]:
    """Gaussian directions (B, 3, H, W), drawn per query."""
    shape = (_DIRECTIONS, *case.sample.images.shape[1:])
    drawn = [
        torch.randn(shape, generator=generator("direction", int(case.sample.rows[row])))
        for row in rows.tolist()
    ]
    return list(torch.stack(drawn, 1).to(case.sample.knowledge.train_codes.device))
