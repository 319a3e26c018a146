"""Forecasts of the ends of stopped and running trials, from the learning curves of the others.

A trial has values of an objective after its measured epochs. A completed trial also has a final
one; in a search that is from the re-attack. The forecast adds to the latest value what other trials
gained from that epoch to their end, and says how uncertain that is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from harness.search.samplers.ehvi.encoding import Array, Point

_ENOUGH = 4  # completed trials whose own gains are trusted
_PRIOR_TRIALS = 3  # weight of the prior in a variance


@dataclass(frozen=True, eq=False)
class Observation:
    """The data of one trial; objectives are shares of their ranges, larger is better."""

    point: Point
    epochs: Array  # (e, m) objectives after every measured epoch; NaN where one was not measured
    planned_epochs: int = 0  # of the whole training; 0 where it is not known
    final: Array | None = None  # (m,) objectives of a completed trial
    running: bool = False
    failed: bool = False  # it ended without a result, and was not stopped early
    measured: tuple[int, ...] | None = None  # e numbers of epochs, from 1; None: the first e
    # Other constraints of a completed trial: name → amount by which it is violated, ≤ 0 if not.
    violations: Mapping[str, float] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether it has not failed, and has values, none of them infinite."""
        values = self.epochs if self.final is None else np.vstack([self.epochs, self.final])
        return bool(not self.failed and np.isfinite(values).any() and not np.isinf(values).any())

    @property
    def feasible(self) -> bool:
        """Whether no constraint is known to be violated."""
        return all(amount <= 0 for amount in self.violations.values())

    @cached_property
    def curves(self) -> tuple[dict[int, float], ...]:
        """For each objective: its value by the number of the epoch, where it was measured."""
        numbers = range(1, len(self.epochs) + 1) if self.measured is None else self.measured
        return tuple(
            {at: value for at, value in zip(numbers, column, strict=True) if not math.isnan(value)}
            for column in self.epochs.T.tolist()
        )

    @cached_property
    def latest(self) -> int:
        """The last epoch after which anything was measured; 0 if there is none."""
        return max((max(curve, default=0) for curve in self.curves), default=0)


class Forecaster:
    """Forecasts an objective of trials at their ends.

    Args:
        known: trials, some of which are completed.
        objective: its column.
    """

    def __init__(self, known: Sequence[Observation], objective: int) -> None:
        self._objective = objective
        self._trials = [_Curve.of(trial, objective) for trial in known]
        self._gain_from = cache(self._gain)  # many trials have finished the same epoch

    def __call__(self, trial: Observation) -> tuple[float, float]:
        """Mean and variance of the objective at a trial's end.

        A completed trial has its own value and variance 0. One for which the objective was never
        measured has NaN.
        """
        curve = _Curve.of(trial, self._objective)
        if curve.final is not None:
            return curve.final, 0.0
        if not curve.values:
            return math.nan, math.nan
        mean, variance = self._gain_from(curve.latest, curve.planned)
        return curve.values[curve.latest] + mean, variance

    def _gain(self, epoch: int, planned: int) -> tuple[float, float]:
        """The gain from an epoch to the end of a training of ``planned`` epochs: mean, variance."""
        gains = [
            curve.final - curve.values[epoch]
            for curve in self._trials
            if curve.final is not None
            and curve.planned == planned  # a shorter training gains less after its fourth epoch
            and epoch in curve.values
        ]
        if len(gains) >= _ENOUGH:
            return _moments(gains, _expected_gain(epoch, planned))
        # Step by step, from every trial that got that far: there are more of those.
        between = self._between(epoch, planned)
        gained = [*map(self._steps, between, between[1:]), self._last_steps()]
        steps = [
            _moments(gains, _expected_gain(at, planned))
            for at, gains in zip(between, gained, strict=True)
        ]
        return sum(mean for mean, _ in steps), sum(variance for _, variance in steps)

    def _between(self, epoch: int, planned: int) -> list[int]:
        """Epochs from ``epoch`` to ``planned``, without those that no trial measured in passing."""
        later = range(epoch + 1, planned + 1)
        passed = max((curve.latest for curve in self._trials), default=0)
        seen = {number for curve in self._trials for number in curve.values}
        return [epoch, *(at for at in later if at in seen or at > passed)]

    def _steps(self, epoch: int, following: int) -> list[float]:
        """Gains from an epoch to the next one that is measured."""
        curves = [curve.values for curve in self._trials]
        both = [values for values in curves if epoch in values and following in values]
        return [values[following] - values[epoch] for values in both]

    def _last_steps(self) -> list[float]:
        """Gains of the end over the last epoch."""
        return [
            c.final - c.values[c.latest] for c in self._trials if c.final is not None and c.values
        ]


@dataclass(frozen=True)
class _Curve:
    """One objective of one trial."""

    values: Mapping[int, float]  # by the number of the epoch
    final: float | None
    planned: int

    @classmethod
    def of(cls, trial: Observation, objective: int) -> "_Curve":
        values = trial.curves[objective]
        final = None if trial.final is None else float(trial.final[objective])
        return cls(values, final, max(trial.planned_epochs, trial.latest))

    @property
    def latest(self) -> int:
        return max(self.values, default=0)


def _expected_gain(epoch: int, planned: int) -> float:
    """Standard deviation of a gain before any was observed: smaller towards the end."""
    return 0.02 * (1 - epoch / (planned + 1)) + 0.003


def _moments(gains: Sequence[float], expected: float) -> tuple[float, float]:
    """Mean and variance of gains, drawn towards 0 and towards ``expected``²."""
    mean = sum(gains) / (len(gains) + 1)
    scatter = sum((gain - mean) ** 2 for gain in gains) + _PRIOR_TRIALS * expected**2
    return mean, scatter / (max(len(gains) - 1, 0) + _PRIOR_TRIALS)
