"""Attacks of a battery that need no gradients of the victim: a black box, and other models' images.

They are controls: where one of them leaves less than the attacks by gradients, those are not to be
trusted.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from saat.adaptive import model_traits
from saat.attack_runner import AttackRunner
from saat.attacks import Attack, Square
from saat.errors import InputError
from saat.mainstay import mainstay_codes
from saat.pruning import Run, lowers
from saat.seeding import generator
from saat.victim import AttackResult, Victim


def drawn_queries(queries: int, count: int, purpose: str, seed: int) -> Tensor:
    """Sorted positions of at most ``count`` queries: int64."""
    order = torch.randperm(queries, generator=generator("battery", purpose, seed))
    return order[:count].sort().values


def controls(
    victim: Victim, square: Square, drawn: Tensor, attack: Attack, sources: Mapping[str, Victim]
) -> dict[str, tuple[Run, Tensor]]:
    """Square on the queries ``drawn``, and the images that ``attack`` makes on each source.

    Each by the name of its result, with sorted int64 positions of the queries that it takes.

    Raises:
        InputError: a source with other queries or no input gradients.
    """
    for name, source in sources.items():
        if not np.array_equal(source.rows, victim.rows):
            raise InputError(f"source {name}: its queries are not those of the victim")
        if attack.by_gradient and not model_traits(source.network, victim.images).differentiable:
            raise InputError(f"source {name}: no input gradients to make images with")
    everyone = torch.arange(len(victim.rows))
    found = {"square": (Run(victim, "square", square), drawn)}
    for name, source in sources.items():
        found[f"transfer.{name}"] = Run(source, f"source.{name}", attack), everyone
    return found


def run_control(
    runner: AttackRunner,
    victim: Victim,
    name: str,
    run: Run,
    positions: Tensor,
    worst: Tensor,
    sample: Tensor | None = None,
    tolerance: float = 0.0,
) -> tuple[Tensor, AttackResult]:
    """The queries that a control took, and its result on ``victim``; others are clean.

    ``run`` makes its images of the queries at ``positions``. Where they do not lower the worst case
    (Q,) of a sample by more than ``tolerance``, it takes no queries beside those of the sample.
    """

    def images_of(some: Tensor) -> Tensor:
        return runner.attack(run.victim.on_queries(some), run.name, run.attack).images

    parts: list[tuple[Tensor, Tensor]] = []
    taken, rest = torch.arange(0), positions
    if sample is not None:
        taken = sample[torch.isin(sample, rest)]
        parts.append((taken, images_of(taken)))
        rest = rest[~torch.isin(rest, taken)]
        part = victim.on_queries(taken)
        if not lowers(worst[taken], part.ap(part.codes(parts[0][1])), tolerance):
            rest = rest[:0]
    if len(rest):
        parts.append((rest, images_of(rest)))
    taken = torch.cat([taken, rest]).sort().values
    whole = len(parts) == 1 and len(taken) == len(victim.rows)
    images = parts[0][1] if whole else runner.placed(name, victim.images, parts)
    return taken, victim.measured(images, _farthest_codes(victim), positions=taken)


def _farthest_codes(victim: Victim) -> Tensor:
    """Negated mainstay codes (Q, K): the theoretical result of attacks without a goal."""
    codes, labels = victim.knowledge.train_codes, victim.knowledge.train_labels
    return -mainstay_codes(victim.labels.to(codes.device), codes, labels).cpu()
