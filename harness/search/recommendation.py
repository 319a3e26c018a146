"""Which explored settings are worth confirming, and what their numbers are."""

from collections.abc import Iterable

import numpy as np

from harness.experiment.config import OBJECTIVE_NAMES, Experiment
from harness.journal.state import TrialRecord
from reports.frontier import pareto_ranks, select_by_hypervolume
from saat.sanity import at_chance, without_prefix


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


def final_metrics(record: TrialRecord) -> dict[str, float]:
    """Metrics of a trial under the full protocol by their plain names; none before its end."""
    return without_prefix(record.metrics, ("test/", "reattack/"))


def collapsed(record: TrialRecord) -> bool:
    """Whether a trial's clean MAP is not above chance (`saat.sanity.at_chance`)."""
    return "clean" in at_chance(final_metrics(record))


def eligible(experiment: Experiment, record: TrialRecord) -> bool:
    """Whether a trial may be on the front.

    It completed with numbers, keeps every constraint, and has not collapsed.
    """
    kept = usable(record) and all(v <= 0 for v in violations(experiment, record).values())
    return kept and not collapsed(record)


def recommend(experiment: Experiment, explored: Iterable[TrialRecord]) -> list[str]:
    """Settings to confirm: eligible, robust MAP above chance, not the default itself.

    Front by front of all eligible trials (the default counts: what it dominates comes later),
    within a front greedily by hypervolume.

    Returns:
        Trial ids in the order of choice, ``confirm.max_configs`` at most; none where no trial is
        above chance.
    """
    done = [record for record in explored if eligible(experiment, record)]
    values = np.array([objectives(record.metrics) for record in done]).reshape(-1, 2)
    ranks = pareto_ranks(values)
    wanted = [
        record.spec.role == "sampled" and not at_chance(final_metrics(record)) for record in done
    ]
    chosen: list[str] = []
    for rank in np.unique(ranks):
        front = [i for i in np.flatnonzero(ranks == rank) if wanted[i]]
        left = experiment.confirm.max_configs - len(chosen)
        chosen += [done[front[i]].spec.trial_id for i in select_by_hypervolume(values[front], left)]
    return chosen
