"""Forecasts of the ends of stopped and running trials, from the learning curves of the others.

A trial has objectives after its measured epochs. A completed trial also has final ones; in a search
these are from the re-attack. The forecast adds to the latest value what other trials gained from
that epoch to their end, and says how uncertain that is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from harness.search.samplers.ehvi.encoding import Array, Point

_ENOUGH = 4  # completed trials whose own gains are trusted
_PRIOR_TRIALS = 3  # weight of the prior in a variance


@dataclass(frozen=True, eq=False)
class Observation:
    """The data of one trial; objectives are shares of their ranges, larger is better."""

    point: Point
    epochs: Array  # (e, 2) objectives after every measured epoch
    planned_epochs: int = 0  # of the whole training; 0 where it is not known
    final: Array | None = None  # (2,) objectives of a completed trial
    running: bool = False
    failed: bool = False  # it ended without a result, and was not stopped early
    measured: tuple[int, ...] | None = None  # e numbers of epochs, from 1; None: the first e

    @property
    def usable(self) -> bool:
        """Whether it has not failed, and has objectives, all of them finite."""
        values = self.epochs if self.final is None else np.vstack([self.epochs, self.final])
        return not self.failed and len(values) > 0 and bool(np.isfinite(values).all())

    @cached_property
    def by_epoch(self) -> dict[int, Array]:
        """Objectives (2,) by the number of the epoch."""
        numbers = range(1, len(self.epochs) + 1) if self.measured is None else self.measured
        return dict(zip(numbers, self.epochs, strict=True))

    @property
    def latest(self) -> int:
        """The last measured epoch; 0 if there is none."""
        return max(self.by_epoch, default=0)


class Forecaster:
    """Forecasts the ends of trials from ``known`` trials, some of which are completed."""

    def __init__(self, known: Sequence[Observation]) -> None:
        self._known = known
        self._gain_from = cache(self._gain)  # many trials have finished the same epoch

    def __call__(self, trial: Observation) -> tuple[Array, Array]:
        """Mean (2,) and variance (2,) of the objectives at a trial's end.

        A completed trial has its own objectives and variance 0.
        """
        if trial.final is not None:
            return trial.final, np.zeros_like(trial.final)
        mean, variance = self._gain_from(trial.latest, _planned(trial))
        return trial.epochs[-1] + mean, variance

    def _gain(self, epoch: int, planned: int) -> tuple[Array, Array]:
        """The gain from an epoch to the end of a training of ``planned`` epochs: mean, variance."""
        gains = [
            trial.final - trial.by_epoch[epoch]
            for trial in self._known
            if trial.final is not None
            and _planned(trial) == planned  # a shorter training gains less after its fourth epoch
            and epoch in trial.by_epoch
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
        means, variances = zip(*steps, strict=True)
        return np.sum(means, axis=0), np.sum(variances, axis=0)

    def _between(self, epoch: int, planned: int) -> list[int]:
        """Epochs from ``epoch`` to ``planned``, without those that no trial measured in passing."""
        later = range(epoch + 1, planned + 1)
        passed = max((trial.latest for trial in self._known), default=0)
        seen = {number for trial in self._known for number in trial.by_epoch}
        return [epoch, *(at for at in later if at in seen or at > passed)]

    def _steps(self, epoch: int, following: int) -> list[Array]:
        """Gains from an epoch to the next one that is measured."""
        curves = [trial.by_epoch for trial in self._known]
        both = [curve for curve in curves if epoch in curve and following in curve]
        return [curve[following] - curve[epoch] for curve in both]

    def _last_steps(self) -> list[Array]:
        """Gains of the end over the last epoch."""
        ended = [t for t in self._known if t.final is not None and len(t.epochs)]
        return [trial.final - trial.epochs[-1] for trial in ended]


def _planned(trial: Observation) -> int:
    return max(trial.planned_epochs, trial.latest)


def _expected_gain(epoch: int, planned: int) -> float:
    """Standard deviation of a gain before any was observed: smaller towards the end."""
    return 0.02 * (1 - epoch / (planned + 1)) + 0.003


def _moments(gains: Sequence[Array], expected: float) -> tuple[Array, Array]:
    """Mean and variance (2,) of gains, drawn towards 0 and towards ``expected``²."""
    observed = np.array(gains).reshape(-1, 2)
    mean = observed.sum(axis=0) / (len(observed) + 1)
    scatter = ((observed - mean) ** 2).sum(axis=0) + _PRIOR_TRIALS * expected**2
    return mean, scatter / (max(len(observed) - 1, 0) + _PRIOR_TRIALS)
