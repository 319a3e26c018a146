"""Adversarial images made on other models, tried on this one."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from saat.adaptive import model_traits
from saat.attack_runner import AttackRunner, measured
from saat.attacks import Attack
from saat.attacks.noise import Noise
from saat.codes import sign
from saat.errors import InputError
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Victim


@dataclass(frozen=True)
class Source:
    """Where transferred images come from: exactly one of a model and stored images.

    Attributes:
        name: enters the name of the result, ``transfer.NAME``.
        victim: another model with the same queries, attacked as a white box.
        images: uint8 (Q, 3, H, W), attacked images of the same queries.
    """

    name: str
    victim: Victim | None = None
    images: Tensor | None = None


def transfer(runner: AttackRunner, victim: Victim, source: Source, attack: Attack) -> AttackResult:
    """What ``attack`` on the source leaves of ``victim``, in the runner's ball.

    Args:
        runner: how the source is attacked.
        victim: measured.
        source: attacked, or images.
        attack: untargeted; not used for stored images.

    Raises:
        InputError: the source has other queries or no input gradients, or its images another
            shape, or they leave the ball.
    """
    if (source.victim is None) == (source.images is None):
        raise InputError(f"source {source.name}: give exactly one of a model and images")
    if source.victim is not None:
        if not np.array_equal(source.victim.rows, victim.rows):
            raise InputError(f"source {source.name}: its queries are not those of the victim")
        if (
            attack.by_gradient
            and not model_traits(source.victim.network, victim.images).differentiable
        ):
            raise InputError(f"source {source.name}: no input gradients to make images with")
        images = runner.attack(source.victim, f"source.{source.name}", attack).images
    else:
        assert source.images is not None
        images = source.images
        _check(images, victim, runner.threat, source.name)
    return measured(victim, images, mainstay_floor(victim))


def _check(images: Tensor, victim: Victim, threat: ThreatModel, name: str) -> None:
    if images.shape != victim.images.shape or images.dtype != victim.images.dtype:
        raise InputError(
            f"source {name}: images {images.dtype} {tuple(images.shape)}: "
            f"{victim.images.dtype} {tuple(victim.images.shape)}, one per query"
        )
    largest = float(threat.size(images, victim.images).max()) if len(images) else 0.0
    if largest > threat.eps * (1 + 1e-6):
        raise InputError(
            f"source {name}: images change by {largest:.4g} in {threat.norm}: at most {threat.eps}"
        )


def mainstay_floor(victim: Victim) -> Tensor:
    """AP of the negated mainstay codes, the theoretical result of what has no goal: (Q,)."""
    device = victim.knowledge.train_codes.device
    control = Noise()
    codes = control.representatives(
        victim.knowledge, victim.labels.to(device), victim.query_codes.to(device)
    )
    return victim.ap(sign(control.goal(codes)).cpu())
