"""The front of the explored settings, and which of them are confirmed."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from harness.experiment.config import Experiment
from harness.journal.state import SearchState, TrialRecord
from reports.frontier import hypervolume, pareto_mask
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


def front_of(aims: Aims, state: SearchState, by: int = 0) -> list[TrialRecord]:
    """The explored settings that no other one beats, best in objective number ``by`` first."""
    done = [record for record in state.of_phase("explore") if eligible(aims, record)]
    values = eligible_values(aims, done)
    on_front = pareto_mask(values)
    return [done[i] for i in np.argsort(-values[:, by], kind="stable") if on_front[i]]


def explored_hypervolume(aims: Aims, state: SearchState) -> float:
    """The hypervolume of all eligible explored settings."""
    return hypervolume(eligible_values(aims, state.of_phase("explore")), aims.corner)


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
