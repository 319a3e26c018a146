"""How long a search will still take, from the seconds of the trials that have ended."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord
from harness.search.plan import PlannedTrials

Kind = Literal["default", "sampled", "confirm"]
# Kind of a trial → the work that one is expected to take, all in the same unit.
TrialWork = Mapping[str, float]
EQUAL: TrialWork = {"default": 1.0, "sampled": 1.0, "confirm": 1.0}

_QUANTILE = 1.28  # of a normal distribution: 80 % lie within
# Relative spread of the seconds of trials of one kind that counts as if two trials had shown it.
_PRIOR_SPREAD, _PRIOR_TRIALS = 0.4, 2.0
_UNSEEN_SPREAD = 0.3  # of the ratio between the work of two kinds and their seconds
_LEAST_SHARE = 0.05  # of its work that a running trial has before it, at least


class TimeLeft(NamedTuple):
    """Seconds by the clock: the expected ones, and the ends of an 80 % interval."""

    seconds: float
    low: float
    high: float


class Progressed(NamedTuple):
    """How far a search is: the share of its expected work that is done, and the time left."""

    share: float
    left: TimeLeft | None  # None until an epoch has ended


def work_of(started: Event) -> TrialWork:
    """The work that a journal's first event expects; equal where it says nothing."""
    found = started.get("work") or {}
    return found if found.keys() >= EQUAL.keys() else EQUAL


def kind_of(record: TrialRecord) -> Kind:
    """The kind of a trial; a sampled one may stop early, the others run to their end."""
    if record.spec.phase != "explore":
        return "confirm"
    return "default" if record.spec.role == "default" else "sampled"


def progressed(
    state: SearchState, planned: PlannedTrials, work: TrialWork, at_once: int
) -> Progressed:
    """How far a search is, whose trials of each kind are expected to take ``work``."""
    ended = state.ended()
    done = [(kind_of(r), r.cost_s) for r in ended if r.status != "failed" and r.cost_s > 0]
    running = state.running()
    left = [(kind_of(r), _share_left(r)) for r in running]
    explored = len(state.of_phase("explore"))
    left += [("sampled", 1.0)] * (planned.explore - explored)
    left += [("confirm", 1.0)] * (planned.confirm - (len(running) + len(ended) - explored))
    units = sum(work[kind_of(record)] for record in ended)
    units += sum(work[kind] * (1 - share) for kind, share in left)
    total = units + sum(work[kind] * share for kind, share in left)
    # Before the first end, as if the trials went on as they began.
    done = done or [begun for record in running for begun in _begun(record)]
    return Progressed(units / total if total else 1.0, time_left(done, left, work, at_once))


def _begun(record: TrialRecord) -> list[tuple[Kind, float]]:
    """The seconds that a running trial would take to its end; empty before its first epoch."""
    if not record.epochs or record.cost_s <= 0:
        return []
    kind: Kind = "confirm" if kind_of(record) == "confirm" else "default"
    return [(kind, record.cost_s * record.config.epochs / len(record.epochs))]


def time_left(
    done: Sequence[tuple[Kind, float]],
    left: Sequence[tuple[Kind, float]],
    work: TrialWork,
    at_once: int,
) -> TimeLeft | None:
    """Estimate the seconds that trials will take, ``at_once`` of them in parallel.

    The seconds per unit of work of a kind are those of its ended trials and of one more, which has
    the mean of all kinds. So a kind that has not begun is estimated from the others.

    Args:
        done: kind and seconds of each trial that has ended.
        left: kind of each other trial, and the share of its work that is left.
        work: see :data:`TrialWork`.
        at_once: trials in parallel.

    Returns:
        None if no trial has ended, and some are left.
    """
    if not done:
        return None if left else TimeLeft(0.0, 0.0, 0.0)
    overall = sum(s for _, s in done) / sum(work[kind] for kind, _ in done)
    seconds: dict[str, float] = {}  # that a trial of a kind is expected to take
    counts = {kind: sum(k == kind for k, _ in done) for kind in work}
    for kind, units in work.items():
        own = sum(s for k, s in done if k == kind)
        seconds[kind] = (own + overall * units) / (counts[kind] + 1)
    variance = _variance([s / seconds[kind] for kind, s in done])
    clock, total, spread = 0.0, 0.0, 0.0
    for kinds in (("default", "sampled"), ("confirm",)):  # confirmations wait for all the others
        trials = [seconds[kind] * share for kind, share in left if kind in kinds]
        parallel = max(1, min(at_once, len(trials)))
        clock += max(sum(trials) / parallel, max(trials, default=0.0))
        spread += variance * sum(t * t for t in trials)
        for kind in kinds:
            of_kind = sum(seconds[kind] * share for k, share in left if k == kind)
            unsure = (
                variance / (counts[kind] or len(done)) + (_UNSEEN_SPREAD / (counts[kind] + 1)) ** 2
            )
            total, spread = total + of_kind, spread + unsure * of_kind**2
    factor = math.exp(_QUANTILE * math.sqrt(spread) / total) if total else 1.0
    return TimeLeft(clock, clock / factor, clock * factor)


def _variance(ratios: Iterable[float]) -> float:
    """Of seconds about their expectation, pulled towards the prior where there are few."""
    squares = [(ratio - 1) ** 2 for ratio in ratios]
    prior = _PRIOR_TRIALS * _PRIOR_SPREAD**2
    return (sum(squares) + prior) / (len(squares) + _PRIOR_TRIALS)


def _share_left(record: TrialRecord) -> float:
    return max(_LEAST_SHARE, 1 - len(record.epochs) / max(1, record.config.epochs))
