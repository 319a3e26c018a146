"""What a trial that has not ended would end with, from the learning curves of the others.

A stopped or running trial has objectives after every epoch; a completed one has those of its end
as well, in a search those of the re-attack. The forecast adds to the latest value what other
trials gained from that epoch to their end, and says how uncertain that is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ENOUGH = 4  # completed trials whose own gains are trusted
_PRIOR_TRIALS = 3  # weight of the prior in a variance


class Curve(NamedTuple):
    """What is known of one trial."""

    epochs: Array  # (e, 2) objectives after every finished epoch
    planned: int  # epochs of the whole training
    final: Array | None  # (2,) objectives of a completed trial


class Forecaster:
    """Forecasts the ends of trials.

    Args:
        known: all trials of the search, completed ones among them.
    """

    def __init__(self, known: Sequence[Curve]) -> None:
        self._known = known
        self._gains: dict[tuple[int, int], tuple[Array, Array]] = {}

    def __call__(self, curve: Curve) -> tuple[Array, Array]:
        """The objectives at a trial's end: mean (2,) and variance (2,).

        For a completed trial what it has, and 0.
        """
        if curve.final is not None:
            return curve.final, np.zeros_like(curve.final)
        stage = len(curve.epochs), curve.planned
        if stage not in self._gains:
            self._gains[stage] = self._gain(*stage)
        mean, variance = self._gains[stage]
        return curve.epochs[-1] + mean, variance

    def _gain(self, epoch: int, planned: int) -> tuple[Array, Array]:
        """What is gained from an epoch to the end of a training of ``planned`` epochs."""
        gains = [
            curve.final - curve.epochs[epoch - 1]
            for curve in self._known
            if curve.final is not None
            and curve.planned == planned  # a shorter training gains less after its fourth epoch
            and len(curve.epochs) >= epoch
        ]
        if len(gains) >= _ENOUGH:
            return _moments(gains, _expected_gain(epoch, planned))
        # Epoch by epoch, from every trial that got that far: there are more of those.
        steps = [
            _moments(self._steps(at, planned), _expected_gain(at, planned))
            for at in range(epoch, planned + 1)
        ]
        means, variances = zip(*steps, strict=True)
        return np.sum(means, axis=0), np.sum(variances, axis=0)

    def _steps(self, epoch: int, planned: int) -> list[Array]:
        """Gains of one epoch, or of the end over the last one."""
        if epoch < planned:
            return [
                c.epochs[epoch] - c.epochs[epoch - 1] for c in self._known if len(c.epochs) > epoch
            ]
        return [
            c.final - c.epochs[-1] for c in self._known if c.final is not None and len(c.epochs)
        ]


def _expected_gain(epoch: int, planned: int) -> float:
    """Standard deviation of a gain before any was observed: smaller towards the end.

    A share of the objective's range, as all values here.
    """
    return 0.02 * (1 - epoch / (planned + 1)) + 0.003


def _moments(gains: Sequence[Array], expected: float) -> tuple[Array, Array]:
    """Mean and variance (2,) of gains, drawn towards 0 and towards ``expected``²."""
    observed = np.array(gains).reshape(-1, 2)
    mean = observed.sum(axis=0) / (len(observed) + 1)
    scatter = ((observed - mean) ** 2).sum(axis=0) + _PRIOR_TRIALS * expected**2
    return mean, scatter / (max(len(observed) - 1, 0) + _PRIOR_TRIALS)
