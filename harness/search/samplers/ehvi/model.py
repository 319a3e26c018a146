"""A model of two objectives, for searches of a few dozen costly trials.

A Gaussian process for each objective learns from every trial that finished an epoch. The ends of
stopped and running trials are forecast. Trials far below the front count for little: a training
that collapsed shows where MAP drops, and must not bend the model near the front. The next point is
the one with the largest expected hypervolume improvement. The constants were chosen on recorded
searches that are not among the published ones (docs/results/search_efficiency.md).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from harness.search.samplers.ehvi.encoding import Array, Point, SpaceEncoding
from harness.search.samplers.ehvi.forecast import Forecaster, Observation
from harness.search.samplers.ehvi.improvement import expected_hypervolume_improvement
from harness.search.samplers.ehvi.surrogate import Surrogate
from reports.frontier import additive_gap, pareto_mask

Acquisition = Callable[[Array], Array]  # positions (n, d) → values (n,), larger is better

_MIN_USABLE = 3  # trials with an epoch, before there is a model
# Standard deviation of the noise of a value, as a share of its distance to the front.
_NOISE_PER_GAP = 1.0
# Share of the predicted deviation that is used: in five dimensions the whole one is too wide.
_EXPLORATION_WEIGHT = 0.1**0.5
# The reference point is this share of the best value of each objective. Points below it give up
# too much of one objective, and would otherwise get most of the suggestions.
_REFERENCE_SHARE = 0.8
# The processes and the front use at most this many trials, those nearest to the front: the cost
# grows as n³.
_MAX_FITTED = 120
# A point is not suggested if the nearest failed trial is less than this many times as far away as
# the nearest trial that did not fail. Otherwise a search whose best values are beside a region of
# failures would lose one training after the other there.
_FAILURE_DISTANCE_RATIO = 2.0
_RANDOM_CANDIDATES, _LOCAL_STARTS, _NEIGHBOURS = 1024, 8, 32
_RADII = (0.1, 0.03)  # of two rounds of neighbours around the best candidates


class Fit(NamedTuple):
    """A fitted model, from which the acquisition function is computed."""

    surrogates: list[Surrogate]  # one for each objective
    front: Array  # (k, 2): predicted values of completed and running trials
    reference: Array  # (2,): volume above it counts


class ParetoModel:
    """Suggests the point of the next trial.

    Args:
        encoding: of the search space.
        observations: all trials, in the order in which they were begun.
        lower_bounds: (2,) of both objectives; volume below one of them does not count.
    """

    def __init__(
        self,
        encoding: SpaceEncoding,
        observations: Sequence[Observation],
        lower_bounds: Array,
    ) -> None:
        self._encoding, self._observations = encoding, observations
        self._lower_bounds = lower_bounds

    @property
    def ready(self) -> bool:
        """Whether enough trials finished an epoch."""
        return sum(trial.usable for trial in self._observations) >= _MIN_USABLE

    def suggest(self, seed: int, candidates: Sequence[Point] | None = None) -> Point | None:
        """The next point; None if every candidate has been tried.

        By default candidates are random points, drawn with ``seed``, and neighbours of the best.
        """
        surrogates, front, reference = self.fit()

        def acquisition(positions: Array) -> Array:
            mean, deviation = _predict(surrogates, positions)
            return expected_hypervolume_improvement(
                mean, _EXPLORATION_WEIGHT * deviation, front, reference
            )

        if candidates is None:
            candidates = self._candidates(acquisition, np.random.default_rng(seed))
        tried = {frozenset(trial.point.items()) for trial in self._observations}
        points = [point for point in candidates if frozenset(point.items()) not in tried]
        if not points:
            return None
        positions = self._encoding.encode(points)
        improvement = np.where(self._near_failures(positions), -1.0, acquisition(positions))
        return points[int(np.argmax(improvement))]

    def _near_failures(self, positions: Array) -> NDArray[np.bool_]:
        """Whether positions (n, d) are close to a failed trial, relative to other trials: (n,).

        All are False where all would be True.
        """
        ended = [trial for trial in self._observations if not trial.running]
        failed = np.array([trial.failed for trial in ended], dtype=bool)
        if not failed.any():
            return np.zeros(len(positions), dtype=bool)
        distances = cdist(positions, self._encoding.encode([trial.point for trial in ended]))
        distances[:, failed] /= _FAILURE_DISTANCE_RATIO
        near = failed[distances.argmin(axis=1)]
        return np.asarray(near & ~near.all())

    def _candidates(self, acquisition: Acquisition, rng: np.random.Generator) -> list[Point]:
        """Random points, and neighbours of the most promising ones."""
        points = [self._encoding.random(rng) for _ in range(_RANDOM_CANDIDATES)]
        positions = self._encoding.encode(points)
        for radius in _RADII:
            best = np.argsort(-acquisition(positions), kind="stable")[:_LOCAL_STARTS]
            near = [
                self._encoding.neighbour(points[i], radius, rng)
                for i in best
                for _ in range(_NEIGHBOURS)
            ]
            points += near
            positions = np.vstack([positions, self._encoding.encode(near)])
        return points

    def fit(self) -> Fit:
        """Fit the model to the observations, at least one of which is usable."""
        usable = [trial for trial in self._observations if trial.usable]
        forecasts = map(Forecaster(usable), usable)
        values, variances = (np.array(part) for part in zip(*forecasts, strict=True))
        gap = additive_gap(values)
        variances = variances + (_NOISE_PER_GAP * gap[:, None]) ** 2
        fitted = np.sort(np.argsort(gap, kind="stable")[:_MAX_FITTED])
        positions = self._encoding.encode([usable[i].point for i in fitted])
        surrogates = [Surrogate(positions, values[fitted, i], variances[fitted, i]) for i in (0, 1)]
        running = [trial for trial in self._observations if trial.running]
        if pending := [trial.point for trial in running if not len(trial.epochs)]:
            for surrogate in surrogates:
                surrogate.condition_on(self._encoding.encode(pending))
        counted = [*(usable[i] for i in fitted if usable[i].final is not None), *running]
        front = np.empty((0, 2))
        if counted:
            points = [trial.point for trial in counted]
            front, _ = _predict(surrogates, self._encoding.encode(points))
            front = front[pareto_mask(front)]
        return Fit(surrogates, front, self._reference_point(values, front))

    def _reference_point(self, values: Array, front: Array) -> Array:
        """The point (2,) above which volume counts; the front has a point above it if possible."""
        feasible = values[(values >= self._lower_bounds).all(axis=1)]
        for known in (values, feasible):
            if len(known):
                reference: Array = np.maximum(
                    _REFERENCE_SHARE * known.max(axis=0), self._lower_bounds
                )
                if (front > reference).all(axis=1).any():
                    return reference
        return self._lower_bounds


def _predict(surrogates: Sequence[Surrogate], positions: Array) -> tuple[Array, Array]:
    """Mean and standard deviation (n, 2) of both objectives at positions (n, d)."""
    predictions = [surrogate.predict(positions) for surrogate in surrogates]
    mean, deviation = (np.stack(part, axis=1) for part in zip(*predictions, strict=True))
    return mean, deviation
