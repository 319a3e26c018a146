"""The worst case at less cost: attacks and restarts that do not lower it are left out.

All of them attack a sample of the queries. Which of them lower the worst case there decides what
the other queries meet: the worst case of a model is left by few attacks, and which ones they are
differs from model to model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor

from saat.attack_runner import AttackRunner
from saat.attacks import Attack
from saat.perceptibility import perceptibility
from saat.victim import AttackResult, Target, Victim


@dataclass(frozen=True)
class Pruning:
    """How much worst case may be given up.

    Attributes:
        queries: size of the sample that meets every attack and restart; with no more queries than
            that nothing is left out.
        tolerance: mean worst-case AP of the sample that all that is left out may cost together.
    """

    queries: int
    tolerance: float


class Run(NamedTuple):
    """An attack on a victim, by the name that enters its seeds."""

    victim: Victim
    name: str
    attack: Attack


def restarts_needed(
    losses: Mapping[str, Tensor], start: Tensor, passes: Mapping[str, float], tolerance: float
) -> dict[str, int]:
    """How many restarts of every attack are enough for the worst case of a sample.

    From all of them, the last restart of an attack is left out again and again: of the attack
    where that raises the mean worst case least, and of equal ones the dearest. It ends before the
    mean would have risen by more than ``tolerance``.

    Args:
        losses: attack → (R, n), what R restarts left of n queries.
        start: (n,), what is left without any attack.
        passes: attack → cost of a restart.
        tolerance: see :class:`Pruning`; below 0 nothing is left out.
    """
    needed = {name: len(loss) for name, loss in losses.items()}

    def worst(restarts: Mapping[str, int]) -> float:
        found = [losses[name][:count] for name, count in restarts.items()]
        return float(torch.cat([start[None], *found]).amin(0).mean())

    whole = worst(needed)
    while True:
        fewer = (
            (worst({**needed, name: count - 1}) - whole, -passes[name], name)
            for name, count in needed.items()
            if count
        )
        rise, _, name = min(fewer, default=(float("inf"), 0.0, ""))
        if rise > tolerance:
            return needed
        needed[name] -= 1


def lowers(worst: Tensor, ap: Tensor, tolerance: float) -> bool:
    """Whether AP (n,) lowers the mean worst case (n,) of a sample by more than ``tolerance``."""
    return float((worst - worst.minimum(ap)).mean()) > tolerance


def run_pruned(
    runner: AttackRunner, runs: Mapping[str, Run], sample: Tensor, pruning: Pruning
) -> tuple[dict[str, AttackResult], dict[str, Tensor]]:
    """Attack the sample with everything, and the other queries with what lowers the worst case.

    Untargeted attacks have one worst case, the lowest AP; targeted ones have theirs, the highest
    t-AP. ``runs`` are by the name of the result, and their victims have the same queries and codes;
    ``sample`` are sorted int64 positions.

    Returns:
        Results by name; positions of the queries, by the names of those that ran on the sample
        alone.
    """
    found: dict[str, AttackResult] = {}
    alone: dict[str, Tensor] = {}
    for targeted in (False, True):
        group = {name: run for name, run in runs.items() if run.attack.targeted == targeted}
        if not group:
            continue
        first = {name: _restarts(runner, run, sample) for name, run in group.items()}
        passes = {name: run.attack.restart_passes(runner.threat) for name, run in group.items()}
        losses = {name: torch.stack([_loss(one) for one in made]) for name, made in first.items()}
        victim, (one, *_) = next(iter(group.values())).victim, next(iter(first.values()))
        clean = victim.clean_ap[sample] if one.target is None else -one.target.clean_ap
        needed = restarts_needed(losses, clean, passes, pruning.tolerance)
        everyone = torch.arange(len(victim.rows))
        rest = everyone[~torch.isin(everyone, sample)]
        for name, run in group.items():
            parts = [(sample, first[name])]
            if needed[name]:
                parts.append((rest, _restarts(runner, run, rest, needed[name])))
            else:
                alone[name] = sample
            found[name] = joined(runner, name, run.victim, parts)
    return {name: found[name] for name in runs}, alone


def _restarts(
    runner: AttackRunner, run: Run, positions: Tensor, restarts: int | None = None
) -> list[AttackResult]:
    """The first ``restarts`` of an attack on some queries, all where None."""
    victim, one = run.victim.on_queries(positions), replace(run.attack, restarts=1)
    numbers = range(run.attack.restarts if restarts is None else restarts)
    return [runner.attack(victim, run.name, one, restart=number) for number in numbers]


def _loss(result: AttackResult) -> Tensor:
    """What the attack makes small: AP, or minus t-AP if it is targeted."""
    return result.ap if result.target is None else -result.target.ap


def joined(
    runner: AttackRunner,
    name: str,
    victim: Victim,
    parts: Sequence[tuple[Tensor, Sequence[AttackResult]]],
) -> AttackResult:
    """One result for all queries, of restarts on parts of them; the worst restart counts.

    ``parts`` are positions of queries, and the results of one or more restarts on them. Queries
    that are in no part are clean, and their AP in theory is NaN.
    """
    # Positions among all queries and, as bools, among those of a result; its restart; the result.
    pieces: list[tuple[Tensor, Tensor, int, AttackResult]] = []
    for positions, found in parts:
        # Of equal restarts the first one counts, which torch's argmin does not promise.
        best = torch.from_numpy(torch.stack([_loss(one) for one in found]).numpy().argmin(0))
        for number, one in enumerate(found):
            pieces.append((positions[best == number], best == number, number, one))

    def spread(clean: Tensor, name: str) -> Tensor:
        """An attribute of the pieces' results at their positions, ``clean`` elsewhere."""
        out = clean.clone()
        for positions, rows, _, one in pieces:
            out[positions] = attrgetter(name)(one)[rows]
        return out

    placed = ((positions, one.images[rows]) for positions, rows, _, one in pieces)
    images = runner.placed(name, victim.images, placed)
    restart = torch.zeros(len(victim.rows), dtype=torch.int64)
    for positions, _, number, _ in pieces:
        restart[positions] = number
    taken = torch.cat([positions for positions, _ in parts])
    blind = sum(
        len(positions) * sum(one.zero_gradient for one in found) / len(found)
        for positions, found in parts
    )
    unknown = torch.full_like(victim.clean_ap, torch.nan)
    target = None
    if pieces[0][-1].target is not None:
        labels = victim.target_labels(runner.target_seed)
        clean = victim.ap(victim.query_codes, labels)
        theory = spread(unknown, "target.theory_ap")
        target = Target(labels, spread(clean, "target.ap"), theory, clean)
    return AttackResult(
        ap=spread(victim.clean_ap, "ap"),
        theory_ap=spread(unknown, "theory_ap"),
        images=images,
        codes=spread(victim.query_codes, "codes"),
        zero_gradient=blind / max(len(taken), 1),
        restart=restart,
        measure=partial(perceptibility, victim.images, images, taken),
        target=target,
    )
