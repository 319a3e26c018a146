"""Attacks of a battery that need no gradients of the victim: a black box, and other models' images.

They are controls: where one of them leaves less than the attacks by gradients, those are not to be
trusted.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saat.adaptive import model_traits
from saat.attack_runner import AttackRunner
from saat.attacks import Attack, Square
from saat.errors import InputError
from saat.mainstay import mainstay_codes
from saat.pruning import lowers
from saat.seeding import generator
from saat.victim import AttackResult, Victim


def drawn_queries(queries: int, count: int, purpose: str, seed: int) -> Tensor:
    """Sorted positions of at most ``count`` queries: int64."""
    order = torch.randperm(queries, generator=generator("battery", purpose, seed))
    return order[:count].sort().values


class Control(NamedTuple):
    """An attack that needs no gradients of the victim.

    Attributes:
        name: of its result.
        images: positions of queries → their attacked images, uint8 (n, 3, H, W).
        positions: sorted int64, the queries that it takes.
    """

    name: str
    images: Callable[[Tensor], Tensor]
    positions: Tensor


def controls(
    runner: AttackRunner,
    victim: Victim,
    square: tuple[Square, Tensor],
    attack: Attack,
    sources: Mapping[str, Victim],
) -> list[Control]:
    """Square on its queries, and the images that an attack makes on each source.

    Raises:
        InputError: a source with other queries or no input gradients.
    """
    black_box, drawn = square

    def asked(positions: Tensor) -> Tensor:
        return runner.attack(victim.on_queries(positions), "square", black_box).images

    def transferred(name: str, source: Victim, positions: Tensor) -> Tensor:
        return runner.attack(source.on_queries(positions), f"source.{name}", attack).images

    for name, source in sources.items():
        if not np.array_equal(source.rows, victim.rows):
            raise InputError(f"source {name}: its queries are not those of the victim")
        if attack.by_gradient and not model_traits(source.network, victim.images).differentiable:
            raise InputError(f"source {name}: no input gradients to make images with")
    everyone = torch.arange(len(victim.rows))
    return [
        Control("square", asked, drawn),
        *(
            Control(f"transfer.{name}", partial(transferred, name, source), everyone)
            for name, source in sources.items()
        ),
    ]


def run_control(
    runner: AttackRunner,
    victim: Victim,
    control: Control,
    worst: Tensor,
    sample: Tensor | None = None,
    tolerance: float = 0.0,
) -> tuple[Tensor, AttackResult]:
    """The queries that a control took, and its result; queries that it did not take are clean.

    Where it does not lower the worst case (Q,) of a sample by more than ``tolerance``, it takes no
    queries beside those of the sample.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    taken = torch.arange(0)
    rest = control.positions
    if sample is not None:
        taken = sample[torch.isin(sample, rest)]
        parts.append((taken, control.images(taken)))
        rest = rest[~torch.isin(rest, taken)]
        part = victim.on_queries(taken)
        if not lowers(worst[taken], part.ap(part.codes(parts[0][1])), tolerance):
            rest = rest[:0]
    if len(rest):
        parts.append((rest, control.images(rest)))
    taken = torch.cat([taken, rest]).sort().values
    whole = len(parts) == 1 and len(taken) == len(victim.rows)
    images = parts[0][1] if whole else runner.placed(control.name, victim.images, parts)
    return taken, victim.measured(images, _farthest_codes(victim), positions=taken)


def _farthest_codes(victim: Victim) -> Tensor:
    """Negated mainstay codes (Q, K): the theoretical result of attacks without a goal."""
    codes, labels = victim.knowledge.train_codes, victim.knowledge.train_labels
    return -mainstay_codes(victim.labels.to(codes.device), codes, labels).cpu()
