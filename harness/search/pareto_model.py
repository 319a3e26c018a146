"""Suggestions from a model of both objectives, for searches of a few dozen costly trials.

A Gaussian process each for clean and robust MAP learns from every trial that finished an epoch,
stopped and running ones by their forecast end. Trials far below the front count for little: a
training that collapsed says where the cliff is, and must not bend the model near the front. The
next point is the one with the largest expected hypervolume improvement. Constants were chosen on
recorded searches that are not among those that were published (docs/results/search_efficiency.md).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import qmc

from harness.experiment.space import Dimension
from harness.search.forecast import Curve, Forecaster
from harness.search.improvement import expected_hypervolume_improvement
from harness.search.space_encoding import Point, SpaceEncoding
from harness.search.surrogate import Surrogate
from reports.frontier import additive_gap, pareto_mask

Array = NDArray[np.float64]
Objectives = tuple[float, float]
Complete = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_ENOUGH = 3  # trials with an epoch, before there is a model
_CAUTION = 1.0  # deviation of a value that lacks 1 MAP to be on the front, in MAP
_EXPLORATION = 0.1**0.5  # share of the model's deviation that counts: it is wide in five dimensions
# Volume counts above this share of the best value of each objective: settings that give up more
# of one than that are nobody's trade-off, and would take most of the suggestions.
_REFERENCE_SHARE = 0.8
# Trials that a process is fitted to and a front is made of, those nearest to it: costs grow as n³.
_MOST = 120
# A trial that failed keeps the next ones this much farther away than the nearest that did not, or
# searches whose best values lie beside a cliff would throw one training after the other down there.
_FAILURE_DISTANCE_RATIO = 2.0
_RANDOM, _BEST, _NEAR = 1024, 8, 32
_RADII = (0.1, 0.03)  # of two rounds of neighbours around the best candidates


@dataclass(eq=False)
class ModelledTrial:
    """A trial as the model knows it; whoever runs it keeps it up to date."""

    point: Point
    planned: int = 0  # epochs
    epochs: list[Objectives] = field(default_factory=list)
    final: Objectives | None = None
    running: bool = True
    failed: bool = False

    def end(self, final: Objectives | None, failed: bool = False) -> None:
        """It ended, with the re-attack's objectives or without."""
        self.final, self.running, self.failed = final, False, failed

    @property
    def usable(self) -> bool:
        """Whether it has numbers, all of them finite, that lead to an end."""
        return (
            not self.failed
            and bool(self.epochs or self.final)
            and bool(np.isfinite([*self.epochs, *([self.final] if self.final else [])]).all())
        )


class ParetoModel:
    """What is known of the trials of a search, and where the next one promises most.

    Args:
        space: searched keys.
        complete: the whole flat setting that is trained at a point.
        floors: of clean and robust MAP; volume below one counts for nothing.
    """

    def __init__(
        self,
        space: Mapping[str, Dimension],
        complete: Complete,
        floors: Objectives = (0.0, 0.0),
    ) -> None:
        self._space, self._complete = space, complete
        self._geometry = SpaceEncoding(space, complete({}))
        self._floors: Array = np.array(floors)
        self._trials: list[ModelledTrial] = []

    @property
    def begun(self) -> int:
        """Trials that were begun, ended ones included."""
        return len(self._trials)

    @property
    def ready(self) -> bool:
        """Whether enough trials finished an epoch."""
        return sum(trial.usable for trial in self._trials) >= _ENOUGH

    def begin(self, point: Mapping[str, Any]) -> "ModelledTrial | None":
        """A trial that runs; None for one with a choice that the space does not have.

        The paper's default names no key but its own: the others are the file's.
        """
        setting = self._complete(point)
        place = {
            key: setting[key]
            for key, dimension in self._space.items()
            if key in setting and dimension.applies(setting)
        }
        choices = [key for key in place if self._space[key].choice is not None]
        if not all(self._space[key].contains(place[key]) for key in choices):
            return None
        trial = ModelledTrial(place, int(setting.get("defense.epochs") or 0))
        self._trials.append(trial)
        return trial

    def probe(self, seed: int) -> Point:
        """A point of a scrambled Sobol sequence: as many as there are trials cover the space.

        Args:
            seed: of the sequence, the same for all probes of a search.
        """
        sequence = qmc.Sobol(len(self._space), seed=seed)
        with warnings.catch_warnings():
            # Of a number of points that is no power of two, the balance is not perfect.
            warnings.simplefilter("ignore", UserWarning)
            return self._geometry.point(sequence.random(len(self._trials) + 1)[-1])

    def forget(self, trial: ModelledTrial) -> None:
        """A trial that was begun and never ran."""
        self._trials.remove(trial)

    def choose(self, seed: int) -> Point | None:
        """The next point; None if every candidate has been tried."""
        rng = np.random.default_rng(seed)
        surrogates, front, reference = self._fit()

        def worth(places: Array) -> Array:
            predictions = [surrogate.predict(places) for surrogate in surrogates]
            mean, deviation = (np.stack(part, axis=1) for part in zip(*predictions, strict=True))
            return expected_hypervolume_improvement(
                mean, _EXPLORATION * deviation, front, reference
            )

        points = self._untried(self._candidates(worth, rng))
        if not points:
            return None
        places = self._geometry.places(points)
        doubtful = self._near_failures(places)
        return points[int(np.argmax(np.where(doubtful, -1.0, worth(places))))]

    def _near_failures(self, places: Array) -> NDArray[np.bool_]:
        """(n,) whether a failed trial is near, compared with those that went well.

        None where all would be.
        """
        ended = [trial for trial in self._trials if not trial.running]
        failed = np.array([trial.failed for trial in ended], dtype=bool)
        if not failed.any():
            return np.zeros(len(places), dtype=bool)
        distances = cdist(places, self._geometry.places([trial.point for trial in ended]))
        distances[:, failed] /= _FAILURE_DISTANCE_RATIO
        doubtful = failed[distances.argmin(axis=1)]
        return np.asarray(doubtful & ~doubtful.all())

    def _candidates(
        self, worth: Callable[[Array], Array], rng: np.random.Generator
    ) -> Sequence[Point]:
        """Random points, and neighbours of the most promising ones.

        ``worth`` gives the worth (n,) of positions (n, d).
        """
        points = [self._geometry.point(rng.random(len(self._space))) for _ in range(_RANDOM)]
        places = self._geometry.places(points)
        for radius in _RADII:
            best = np.argsort(-worth(places), kind="stable")[:_BEST]
            near = [
                self._geometry.neighbour(points[i], radius, rng) for i in best for _ in range(_NEAR)
            ]
            points += near
            places = np.vstack([places, self._geometry.places(near)])
        return points

    def _fit(self) -> tuple[list[Surrogate], Array, Array]:
        """A surrogate for each objective, the front and the corner above which volume counts."""
        seen = [trial for trial in self._trials if trial.usable]
        curves = [self._curve(trial) for trial in seen]
        forecasts = list(map(Forecaster(curves), curves))
        values, variances = (np.array(part) for part in zip(*forecasts, strict=True))
        gap = additive_gap(values)
        variances = variances + (_CAUTION * gap[:, None]) ** 2
        used = np.sort(np.argsort(gap, kind="stable")[:_MOST])
        places = self._geometry.places([seen[i].point for i in used])
        surrogates = [Surrogate(places, values[used, i], variances[used, i]) for i in range(2)]
        running = [trial for trial in self._trials if trial.running]
        unseen = [trial.point for trial in running if not trial.epochs]
        for surrogate in surrogates if unseen else ():
            surrogate.condition_on(self._geometry.places(unseen))
        counted = [*(seen[i] for i in used if seen[i].final is not None), *running]
        expected = (
            np.stack(
                [
                    s.predict(self._geometry.places([t.point for t in counted]))[0]
                    for s in surrogates
                ],
                axis=1,
            )
            if counted
            else np.empty((0, 2))
        )
        front = expected[pareto_mask(expected)]
        return surrogates, front, self._corner(values, front)

    def _corner(self, values: Array, front: Array) -> Array:
        """Above which volume counts (2,): where the front has a point, if anywhere."""
        feasible = values[(values >= self._floors).all(axis=1)]
        for known in (values, feasible):
            if len(known):
                corner: Array = np.maximum(_REFERENCE_SHARE * known.max(axis=0), self._floors)
                if (front > corner).all(axis=1).any():
                    return corner
        return np.asarray(self._floors)

    def _curve(self, trial: ModelledTrial) -> Curve:
        final = None if trial.final is None else np.array(trial.final)
        planned = max(trial.planned, len(trial.epochs))
        return Curve(np.array(trial.epochs).reshape(-1, 2), planned, final)

    def _untried(self, points: Sequence[Point]) -> list[Point]:
        tried = {frozenset(trial.point.items()) for trial in self._trials}
        return [point for point in points if frozenset(point.items()) not in tried]
