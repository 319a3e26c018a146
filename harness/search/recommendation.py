"""Choose which explored settings are confirmed."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from harness.experiment.config import Experiment
from harness.journal.state import TrialRecord
from reports.preference import order_of_choice
from saat.feasibility import Aims

Values = NDArray[np.float64]


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

    They are chosen from the fronts of all eligible trials, one front after the other, within a
    front by hypervolume or as ``search.prefer`` says (:func:`reports.preference.order_of_choice`).
    The default has its place in the fronts, so the settings that it dominates come later.

    Returns:
        Trial ids in the order of choice, ``confirm.max_configs`` at most.
    """
    aims = experiment.aims
    done = [record for record in explored if eligible(aims, record)]
    wanted = np.array(
        [r.spec.role == "sampled" and aims.are_above_chance(r.metrics) for r in done], dtype=bool
    )
    values = eligible_values(aims, done)
    chosen = order_of_choice(aims, values, wanted, experiment.confirm.max_configs)
    return [done[i].spec.trial_id for i in chosen]
