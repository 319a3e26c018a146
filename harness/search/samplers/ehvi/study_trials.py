"""Reads a study's trials as observations, in shares of the objectives' ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from harness.search.samplers.context import SearchedObjective
from harness.search.samplers.ehvi.encoding import Array
from harness.search.samplers.ehvi.forecast import Observation
from harness.search.samplers.ehvi.model import Goal
from harness.search.samplers.trial_attributes import EPOCHS, PLANNED_EPOCHS
from saat.feasibility import Preference


class Scale:
    """The range of each objective: from its worst value, 0, to its best one, 1.

    An objective whose best value is not known has the range of the finite values seen so far.

    Args:
        directions: of the study.
        objectives: what is known of each; None: nothing.
        trials: of the study.
    """

    def __init__(
        self,
        directions: Sequence[StudyDirection],
        objectives: Sequence[SearchedObjective] | None,
        trials: Sequence[FrozenTrial],
    ) -> None:
        rows = [row for t in trials for row in (*_measured(t).values(), t.values or ())]
        seen = _rows([row for row in rows if len(row)], len(directions))
        known: Sequence[SearchedObjective | None] = objectives or [None] * len(directions)
        ranges = [
            (one.worst, one.best)
            if one is not None and one.best is not None
            else _range_of(column[np.isfinite(column)], direction)
            for one, column, direction in zip(known, seen.T, directions, strict=True)
        ]
        self._worst, self._best = np.array(ranges, dtype=float).T
        self._objectives = objectives
        self.size = len(directions)  # number of objectives

    def __call__(self, values: ArrayLike) -> Array:
        """Values (…, m) in shares of the ranges, larger is better."""
        own = np.asarray(values, dtype=np.float64)
        return np.asarray((own - self._worst) / (self._best - self._worst))

    def back(self, mean: Array, deviation: Array) -> tuple[Array, Array]:
        """Shares (…, m) and their deviations in the objectives' own units; inverts a call."""
        width = self._best - self._worst
        return self._worst + width * mean, np.abs(width) * deviation

    def goal(self, preference: Preference | None) -> Goal:
        """Bounds and preference in shares of the ranges."""
        if self._objectives is None:
            bounds = np.zeros(len(self._worst))
        else:
            bounds = self([o.worst if o.bound is None else o.bound for o in self._objectives])
        if preference is not None and preference.bounds:
            wanted = self([np.nan if b is None else b for b in preference.bounds])
            kept = tuple(None if np.isnan(b) else float(b) for b in wanted)
            preference = Preference(preference.weights, kept)
        return Goal(bounds, preference)


def observation(trial: FrozenTrial, scale: Scale, space: Mapping[str, Any]) -> Observation:
    """What a trial says about the parameters of ``space``."""
    measured, completed = _measured(trial), trial.state == TrialState.COMPLETE
    rows = _rows(list(measured.values()), scale.size)
    return Observation(
        {key: value for key, value in trial.params.items() if key in space},
        scale(rows),
        trial.user_attrs.get(PLANNED_EPOCHS, 0),
        scale(trial.values) if completed else None,
        running=trial.state == TrialState.RUNNING,
        failed=trial.state == TrialState.FAIL,
        measured=tuple(measured),
        violations=trial.constraints if completed else {},
    )


def _measured(trial: FrozenTrial) -> dict[int, list[float | None]]:
    """Epochs, from 1, that were measured, and their objectives; None where one was not."""
    rows = enumerate(trial.user_attrs.get(EPOCHS, ()), start=1)
    return {epoch: values for epoch, values in rows if values is not None}


def _rows(rows: Sequence[Any], objectives: int) -> Array:
    """Rows (n, m) as an array, NaN for None."""
    return np.array(rows, dtype=np.float64).reshape(-1, objectives)


def _range_of(values: Array, direction: StudyDirection) -> tuple[float, float]:
    """(worst, best) of an objective's values (n,)."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low == high:
        high = low + 1.0
    return (low, high) if direction == StudyDirection.MAXIMIZE else (high, low)
