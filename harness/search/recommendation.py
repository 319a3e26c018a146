"""Choose which explored settings are confirmed."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from harness.experiment.config import Experiment
from harness.journal.state import TrialRecord
from reports.frontier import pareto_ranks, select_by_hypervolume
from saat.feasibility import Aims

Values = NDArray[np.float64]
Rows = NDArray[np.int64]


def usable(aims: Aims, record: TrialRecord) -> bool:
    """Whether a trial completed and its objectives were measured."""
    return record.status == "completed" and aims.is_measured(record.metrics)


def eligible(aims: Aims, record: TrialRecord) -> bool:
    """Whether a trial is usable, keeps every constraint, and has not collapsed."""
    return usable(aims, record) and aims.allow(record.metrics)


def eligible_values(aims: Aims, records: Iterable[TrialRecord]) -> Values:
    """Objectives of the eligible trials (n, m), oriented: larger is better."""
    return aims.oriented([aims.values(r.metrics) for r in records if eligible(aims, r)])


def recommend(experiment: Experiment, explored: Iterable[TrialRecord]) -> list[str]:
    """Choose the settings to confirm: eligible, no MAP aimed for at chance, not the default itself.

    They are chosen from the fronts of all eligible trials, one front after the other. The default
    has its place in the fronts, so the settings that it dominates come later. ``search.prefer``
    decides the order:

    - Without it, settings of a front are chosen greedily by hypervolume.
    - With weights, those of a front come in the order of their weighted sums. Each objective is
      measured from its reference, in units of the distance to the best value on the first front.
    - With bounds, all settings that keep them come before all others; each of the two groups is
      ordered by fronts and hypervolume.

    Returns:
        Trial ids in the order of choice, ``confirm.max_configs`` at most.
    """
    aims = experiment.aims
    done = [record for record in explored if eligible(aims, record)]
    values = eligible_values(aims, done)
    wanted = np.array(
        [r.spec.role == "sampled" and aims.are_above_chance(r.metrics) for r in done], dtype=bool
    )
    ranks = pareto_ranks(values)
    best = values[ranks == 0].max(axis=0, initial=-np.inf)
    chosen: list[str] = []
    for group in _groups(aims, values, ranks):
        rows = group[wanted[group]]
        left = experiment.confirm.max_configs - len(chosen)
        chosen += [done[i].spec.trial_id for i in rows[_order(aims, values[rows], best, left)]]
    return chosen


def _groups(aims: Aims, values: Values, ranks: Rows) -> Iterator[Rows]:
    """Rows of ``values`` that are chosen one group after the other."""
    lacking: NDArray[np.bool_] = np.zeros(len(values), dtype=np.bool_)
    if aims.preference:
        wanted = [np.nan if bound is None else bound for bound in aims.preference.bounds]
        lacking = np.any(values < aims.oriented(wanted), axis=1)  # NaN asks for nothing
    for group in (~lacking, lacking):
        for rank in np.unique(ranks[group]):
            yield np.flatnonzero(group & (ranks == rank))


def _order(aims: Aims, values: Values, best: Values, count: int) -> Rows:
    """Order of choice of at most ``count`` rows of one front."""
    if aims.preference is None or aims.preference.weights is None:
        return select_by_hypervolume(values, count, aims.corner)
    corner = np.array(aims.corner)
    span = np.where(best > corner, best - corner, np.inf)
    scores = (values - corner) / span @ np.array(aims.preference.weights)
    return np.argsort(-scores, kind="stable")[:count]
