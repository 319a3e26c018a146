"""A model of two or three objectives, for searches of a few dozen costly trials.

A Gaussian process for each objective learns from every trial that finished an epoch. The ends of
stopped and running trials are forecast. Trials far below the front count for less where they
contradict the others: a training that collapsed shows where MAP drops, and must not bend the model
near the front. The next point is the one with the largest expected improvement of the front. The
constants were chosen on tables that are told apart from the others
(docs/results/sampler_parts.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import ndtr

from harness.search.samplers.ehvi.candidates import candidates
from harness.search.samplers.ehvi.encoding import Array, Point, SpaceEncoding
from harness.search.samplers.ehvi.forecast import Forecaster, Observation
from harness.search.samplers.ehvi.improvement import (
    expected_excess,
    expected_hypervolume_improvement,
)
from harness.search.samplers.ehvi.prior import Prior
from harness.search.samplers.ehvi.surrogate import Surrogate
from reports.frontier import pareto_mask
from saat.feasibility import Preference

_FENCE = 1.5  # quartile ranges below the lower quartile: Tukey's fence
_MIN_USABLE = 3  # trials with a value of an objective, before there is a model
# From this distance to the front on, the standard deviation of a value's doubt is the distance.
# Nearer to the front it falls with the square of the distance.
_FAR = 0.1
# Share of the predicted deviation that is used: the whole one explores too much for a few dozen
# trials. The larger ones are for a front beyond which a smaller one expects nothing at all.
_EXPLORATION_WEIGHTS = (0.5, 1.0, 10.0)
# In every second turn, volume counts above this share of the best value of each objective. Points
# below it give up too much of one objective, and would otherwise get most of the suggestions. The
# other turns improve the whole front, and one of so many turns finds its ends.
_FOCUS_SHARE, _TURNS = 0.8, 6
_BEYOND_FRONT = 0.1  # how far below the ends of the front volume counts, as a share of its extent
# The processes and the front use at most this many trials, those nearest to the front: the cost
# grows as n³.
MAX_FITTED = 120
# A point is not suggested if the nearest failed trial is less than this many times as far away as
# the nearest trial that did not fail. Otherwise a search whose best values are beside a region of
# failures would lose one training after the other there.
_FAILURE_DISTANCE_RATIO = 2.0
_PRIOR_TRIALS = 2.0  # the exponent of the prior's density is this over the number of trials


@dataclass(frozen=True)
class Goal:
    """What is looked for, in shares of the objectives' ranges; larger is better.

    Attributes:
        bounds: (m,); volume below one of them does not count.
        preference: the part of the front that gets every second suggestion.
    """

    bounds: Array
    preference: Preference | None = None


class Fit:
    """Fitted processes, and what they say of the trials.

    Args:
        encoding: of the space.
        observations: all trials.
        objectives: their number.

    Attributes:
        surrogates: one for each objective.
        values: (n, m) of the trials that they learned from, forecast where need be; NaN where an
            objective has no value.
        front: (k, m) predicted values of the best feasible trials that are completed or run.
        front_points: k points of these.
    """

    def __init__(
        self, encoding: SpaceEncoding, observations: Sequence[Observation], objectives: int
    ) -> None:
        usable = [trial for trial in observations if trial.usable]
        self._encoding, self._parameters = encoding, encoding.parameters
        forecasts = [
            list(map(Forecaster(usable, objective), usable)) for objective in range(objectives)
        ]
        values, variances = np.moveaxis(np.array(forecasts), -1, 0).swapaxes(1, 2)
        gap = _gap(values)
        doubts = (gap * np.minimum(gap / _FAR, 1.0)) ** 2
        fitted = np.sort(np.argsort(gap, kind="stable")[:MAX_FITTED])
        self.values = values[fitted]
        positions = encoding.encode([usable[i].point for i in fitted])
        self.surrogates = [
            self._process(
                positions, _winsorised(self.values[:, i]), variances[fitted, i], doubts[fitted]
            )
            for i in range(objectives)
        ]
        running = [trial for trial in observations if trial.running]
        if pending := [trial.point for trial in running if not trial.usable]:
            for surrogate in self.surrogates:
                surrogate.condition_on(encoding.encode(pending))
        self._constraints = self._constraint_processes([usable[i] for i in fitted])
        ended = [usable[i] for i in fitted if usable[i].final is not None]
        self._set_front([*(trial for trial in ended if trial.feasible), *running])

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (n, m) of the objectives at columns (n, d)."""
        predictions = [surrogate.predict(columns) for surrogate in self.surrogates]
        mean, deviation = (np.stack(part, axis=1) for part in zip(*predictions, strict=True))
        return mean, deviation

    def average(self, columns: Array) -> tuple[Array, Array]:
        """Mean and deviation (m,) of each objective, averaged over columns (n, d)."""
        mean, deviation = zip(*(s.average(columns) for s in self.surrogates), strict=True)
        return np.array(mean), np.array(deviation)

    def feasibility(self, columns: Array) -> Array:
        """Probability (n,) that no other constraint is violated, at columns (n, d)."""
        probability = np.ones(len(columns))
        for surrogate in self._constraints:
            mean, deviation = surrogate.predict(columns)
            probability *= ndtr(-mean / deviation)
        return probability

    def _process(
        self, positions: Array, values: Array, variances: Array, doubts: Array
    ) -> Surrogate:
        known = np.isfinite(values)
        return Surrogate(
            positions[known], values[known], variances[known], doubts[known], self._parameters
        )

    def _constraint_processes(self, trials: Sequence[Observation]) -> list[Surrogate]:
        """A process of the violation of every constraint that was violated once."""
        positions = self._encoding.encode([trial.point for trial in trials])
        processes = []
        for name in sorted({name for trial in trials for name in trial.violations}):
            amounts = np.array([trial.violations.get(name, np.nan) for trial in trials])
            finite = amounts[np.isfinite(amounts)]
            if len(finite) and amounts.max(where=~np.isnan(amounts), initial=0.0) > 0:
                # A metric that could not be measured counts as the worst one that could.
                amounts[np.isposinf(amounts)] = max(finite.max(), 0.0)
                none = np.zeros(len(amounts))
                processes.append(self._process(positions, amounts, none, none))
        return processes

    def _set_front(self, trials: Sequence[Observation]) -> None:
        self.front, self.front_points = np.empty((0, len(self.surrogates))), list[Point]()
        if trials:
            points = [trial.point for trial in trials]
            predicted, _ = self.predict(self._encoding.encode(points))
            best = pareto_mask(predicted)
            self.front = predicted[best]
            self.front_points = [points[i] for i in np.flatnonzero(best)]


class ParetoModel:
    """Suggests the point of the next trial.

    Args:
        encoding: of the search space.
        observations: all trials, in the order in which they were begun.
        goal: what is looked for.
        prior: over the space.
    """

    def __init__(
        self,
        encoding: SpaceEncoding,
        observations: Sequence[Observation],
        goal: Goal,
        prior: Prior,
    ) -> None:
        self._encoding, self._observations = encoding, observations
        self._goal, self._prior = goal, prior
        # Trials that teach something now or later. They alone decide whose turn it is.
        self._teaching = sum(trial.usable or trial.running for trial in observations)

    @property
    def ready(self) -> bool:
        """Whether enough trials have a value of each objective."""
        counts = np.zeros(len(self._goal.bounds))
        for trial in self._observations:
            if trial.usable:
                counts += [bool(curve) or trial.final is not None for curve in trial.curves]
        return bool((counts >= _MIN_USABLE).all())

    def fit(self) -> Fit:
        """The processes, fitted to the observations; needs :attr:`ready`."""
        return Fit(self._encoding, self._observations, len(self._goal.bounds))

    def suggest(self, seed: int, given: Sequence[Point] | None = None) -> Point | None:
        """The next point; None if every candidate has been tried.

        Candidates are ``given``, or random points, drawn with ``seed``, and neighbours of the best.
        """
        fit, rng = self.fit(), np.random.default_rng(seed)
        tried = {frozenset(trial.point.items()) for trial in self._observations}
        known = self._encoding.positions(fit.front_points)
        for weight in _EXPLORATION_WEIGHTS:
            score = partial(self._score, fit, weight)
            if given is None:
                positions, scores = candidates(self._encoding, self._prior, known, score, rng)
            else:
                positions = self._encoding.positions(given)
                scores = score(positions)
            for i in np.argsort(-scores, kind="stable"):
                point = self._encoding.decode(positions[i]) if given is None else given[i]
                if frozenset(point.items()) not in tried:
                    break
            else:
                return None
            if scores[i] > 0:
                break
        return point

    def _score(self, fit: Fit, weight: float, positions: Array) -> Array:
        """The acquisition function (n,) at positions (n, k); −1 near failed trials."""
        columns = self._encoding.columns(positions)
        mean, deviation = fit.predict(columns)
        score = self._improvement(fit, mean, weight * deviation) * fit.feasibility(columns)
        exponent = _PRIOR_TRIALS / self._teaching
        score = score * np.exp(exponent * self._prior.log_density(positions))
        return np.where(self._near_failures(columns), -1.0, score)

    def _improvement(self, fit: Fit, mean: Array, deviation: Array) -> Array:
        """What is expected to be gained (n,) in this turn."""
        preference = self._goal.preference
        turn = self._teaching % _TURNS
        if preference and preference.weights and turn % 2:
            weights = np.array(preference.weights)
            best = (fit.front @ weights).max(initial=-np.inf)
            if np.isfinite(best):
                spread = np.sqrt(deviation**2 @ weights**2)
                return expected_excess(mean @ weights, spread, np.array(best))
        if turn % 2:
            reference = self._focus(fit)
        else:
            reference = self._whole(fit) if turn else self._goal.bounds
        return expected_hypervolume_improvement(mean, deviation, fit.front, reference)

    def _whole(self, fit: Fit) -> Array:
        """The reference point (m,) a little below the ends of the front."""
        if len(fit.front) < 2:
            return self._goal.bounds
        low, high = fit.front.min(axis=0), fit.front.max(axis=0)
        return np.asarray(np.maximum(low - _BEYOND_FRONT * (high - low), self._goal.bounds))

    def _focus(self, fit: Fit) -> Array:
        """The reference point (m,) that has the middle of the front, or what is preferred, above.

        It has a point of the front above it if possible.
        """
        bounds = self._goal.bounds
        if self._goal.preference and self._goal.preference.bounds:
            wanted = [-np.inf if b is None else b for b in self._goal.preference.bounds]
            return np.maximum(self._whole(fit), wanted)
        complete = fit.values[np.isfinite(fit.values).all(axis=1)]
        feasible = complete[(complete >= bounds).all(axis=1)]
        for known in (complete, feasible):
            if len(known):
                reference: Array = np.maximum(_FOCUS_SHARE * known.max(axis=0), bounds)
                if (fit.front > reference).all(axis=1).any():
                    return reference
        return self._whole(fit)

    def _near_failures(self, columns: Array) -> NDArray[np.bool_]:
        """Whether columns (n, d) are close to a failed trial, relative to other trials: (n,).

        All are False where all would be True.
        """
        ended = [trial for trial in self._observations if not trial.running]
        failed = np.array([trial.failed for trial in ended], dtype=bool)
        if not failed.any():
            return np.zeros(len(columns), dtype=bool)
        distances = cdist(columns, self._encoding.encode([trial.point for trial in ended]))
        distances[:, failed] /= _FAILURE_DISTANCE_RATIO
        near = failed[distances.argmin(axis=1)]
        return np.asarray(near & ~near.all())


def _winsorised(values: Array) -> Array:
    """Values (n,) with those below Tukey's lower fence moved to it.

    Single outliers far below would set the scale of a process, and hide the differences near the
    front.
    """
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, (0.25, 0.75)) if len(known) else (0.0, 0.0)
    return np.maximum(values, low - _FENCE * (high - low))


def _gap(values: Array) -> Array:
    """The smallest amount that, added to every objective, puts each row on the front: (n,).

    The additive ε-indicator (Zitzler et al. 2003). The front is that of rows without NaN; a row
    with NaN is compared in the objectives that it has.
    """
    complete = values[np.isfinite(values).all(axis=1)]
    if not len(complete):
        return np.zeros(len(values))
    front = complete[pareto_mask(complete)]
    lacking = np.nanmin(front[None] - values[:, None], axis=2).max(axis=1)
    return np.asarray(np.maximum(lacking, 0.0))
