"""Which explored settings are worth confirming, and what their numbers are."""

from collections.abc import Iterable

import numpy as np

from harness.experiment.config import OBJECTIVE_NAMES, Experiment
from harness.journal.state import TrialRecord
from reports.frontier import pareto_ranks, select_by_hypervolume


def objectives(metrics: dict[str, float], prefix: str = "reattack") -> tuple[float, float]:
    """(clean MAP, robust MAP) of one kind; NaN where not measured."""
    nan = float("nan")
    return metrics.get(f"{prefix}/clean_map", nan), metrics.get(f"{prefix}/robust_map", nan)


def usable(record: TrialRecord) -> bool:
    """Whether a trial completed with numbers."""
    return record.status == "completed" and bool(np.isfinite(objectives(record.metrics)).all())


def violations(experiment: Experiment, record: TrialRecord) -> dict[str, float]:
    """Constraint name → amount by which the trial violates it (≤ 0: it holds)."""
    return {
        name: constraint.at_least - record.metrics[name.replace("val/", "reattack/")]
        for name, constraint in experiment.constraints.items()
    }


def floors(experiment: Experiment) -> tuple[float, float]:
    """The constraints' floors of clean and robust MAP; 0 where there is none."""
    clean, robust = (experiment.constraints.get(name) for name in OBJECTIVE_NAMES)
    return clean.at_least if clean else 0.0, robust.at_least if robust else 0.0


def feasible(experiment: Experiment, record: TrialRecord) -> bool:
    """Whether a trial completed with numbers that keep every constraint."""
    return usable(record) and all(amount <= 0 for amount in violations(experiment, record).values())


def recommend(experiment: Experiment, explored: Iterable[TrialRecord]) -> list[str]:
    """Settings to confirm: completed, feasible, not the default itself.

    Front by front of all completed trials (the default counts: what it dominates comes later),
    within a front greedily by hypervolume.

    Returns:
        Trial ids in the order of choice, ``confirm.max_configs`` at most.
    """
    done = [record for record in explored if feasible(experiment, record)]
    values = np.array([objectives(record.metrics) for record in done]).reshape(-1, 2)
    ranks = pareto_ranks(values)
    chosen: list[str] = []
    for rank in np.unique(ranks):
        front = [i for i in np.flatnonzero(ranks == rank) if done[i].spec.role == "sampled"]
        left = experiment.confirm.max_configs - len(chosen)
        chosen += [done[front[i]].spec.trial_id for i in select_by_hypervolume(values[front], left)]
    return chosen
