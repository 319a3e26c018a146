"""Choose which explored settings are confirmed."""

from collections.abc import Iterable

import numpy as np

from harness.experiment.config import Experiment
from harness.journal.state import TrialRecord
from reports.frontier import pareto_ranks, select_by_hypervolume
from saat.feasibility import is_measured, objective_values
from saat.metrics import final_metrics
from saat.sanity import at_chance


def usable(record: TrialRecord) -> bool:
    """Whether a trial completed and its objectives were measured."""
    return record.status == "completed" and is_measured(record.metrics)


def eligible(experiment: Experiment, record: TrialRecord) -> bool:
    """Whether a trial is usable, keeps every constraint, and has not collapsed."""
    return usable(record) and experiment.minimums.allow(record.metrics)


def recommend(experiment: Experiment, explored: Iterable[TrialRecord]) -> list[str]:
    """Choose the settings to confirm: eligible, robust MAP above chance, not the default itself.

    They are chosen from the fronts of all eligible trials, one front after the other, and within a
    front greedily by hypervolume. The default has its place in the fronts, so the settings that it
    dominates come later.

    Returns:
        Trial ids in the order of choice, ``confirm.max_configs`` at most.
    """
    done = [record for record in explored if eligible(experiment, record)]
    values = np.array([objective_values(record.metrics) for record in done]).reshape(-1, 2)
    ranks = pareto_ranks(values)
    wanted = [
        record.spec.role == "sampled" and not at_chance(final_metrics(record.metrics))
        for record in done
    ]
    chosen: list[str] = []
    for rank in np.unique(ranks):
        front = [i for i in np.flatnonzero(ranks == rank) if wanted[i]]
        left = experiment.confirm.max_configs - len(chosen)
        chosen += [done[front[i]].spec.trial_id for i in select_by_hypervolume(values[front], left)]
    return chosen
