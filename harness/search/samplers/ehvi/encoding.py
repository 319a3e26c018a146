"""Encode points of a search space as positions in a cube, for a Gaussian process."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = NDArray[np.float64]
Point = dict[str, Any]


_LAST = float(np.nextafter(1.0, 0.0))  # position
_FEW = 16  # values of a parameter that are all compared with each other


class Axis:
    """The values of one parameter along the interval [0, 1).

    Steps are even in the logarithm where the distribution is logarithmic. Whole numbers, steps and
    choices each have an equal part of the interval.
    """

    def __init__(self, distribution: BaseDistribution) -> None:
        self._choices: tuple[Any, ...] | None = None
        self.count = 0  # of its values, where each has an equal part of the interval
        if isinstance(distribution, CategoricalDistribution):
            self._choices = distribution.choices
            self.count = len(distribution.choices)
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            self._bounds = distribution.low, distribution.high
            self._log, self._step = distribution.log, distribution.step
            self._whole = isinstance(distribution, IntDistribution)
            self._low, self._high = _edges(distribution)
            if self._low == self._high:
                self.count = 1
            elif self._step is not None and not self._log:
                self.count = round((self._high - self._low) / self._step)

    def value_at(self, position: float) -> Any:
        """The value at a position in [0, 1)."""
        if self._choices is not None:
            return self._choices[int(position * len(self._choices))]
        first, last = self._bounds
        value = self._low + position * (self._high - self._low)
        if self._log:
            value = math.exp(value)
        if self._log or self._step is None:
            value = min(max(round(value) if self._whole else value, first), last)
        else:
            # Rounding may move a position just below 1 beyond the last value, and that value
            # beyond the bound.
            steps = math.floor((value - self._low) / self._step)
            most = round((self._high - self._low) / self._step) - 1
            value = min(first + self._step * min(steps, most), last)
        return int(value) if self._whole else value

    def numbers(self, positions: Array) -> NDArray[np.int64]:
        """Numbers (n,) of the values at positions (n,) in [0, 1), of :attr:`count` values."""
        return np.minimum((positions * self.count).astype(np.int64), self.count - 1)

    def placed(self, positions: Array) -> Array:
        """Positions (n,) in [0, 1), moved to those of the values there."""
        if self.count:
            return np.asarray((self.numbers(positions) + 0.5) / self.count)
        if self._choices is None and self._whole:  # on a logarithmic scale
            width = self._high - self._low
            values = np.clip(np.rint(np.exp(self._low + positions * width)), *self._bounds)
            return np.asarray((np.log(values) - self._low) / width)
        return positions

    def position(self, value: Any) -> float:
        """The inverse of :meth:`value_at`; a number outside the bounds lies in [−1, 0] or [1, 2].

        A number without a logarithm lies at −1.

        Raises:
            ValueError: ``value`` is not among the choices.
        """
        if self._choices is not None:
            return (self._choices.index(value) + 0.5) / len(self._choices)
        if self._log and value <= 0:
            return -1.0
        width = self._high - self._low
        offset = (math.log(value) if self._log else value) - self._low
        return float(min(max(offset / width if width > 0 else 0.5, -1.0), 2.0))


class SpaceEncoding:
    """Points, their positions along the parameters (k,), and columns (d,) for a Gaussian process.

    A number has one column, and a parameter of words has one for each word.

    Args:
        space: parameters and their distributions.
        applies: whether a point has a parameter, given the values of those before it; by default
            every point has all of them.
    """

    def __init__(
        self,
        space: Mapping[str, BaseDistribution],
        applies: Callable[[str, Mapping[str, Any]], bool] | None = None,
    ) -> None:
        self._axes = {key: Axis(distribution) for key, distribution in space.items()}
        self._applies = applies
        self._one_hot = {
            key: d.choices
            for key, d in space.items()
            if isinstance(d, CategoricalDistribution)
            and not all(isinstance(value, int | float) for value in d.choices)
        }
        widths = [len(self._one_hot.get(key, (None,))) for key in self._axes]
        # (d,): the number of the parameter that every column belongs to
        self.parameters = np.repeat(np.arange(len(widths)), widths)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self._axes)

    def positions(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """Positions (n, k) of points; NaN for a parameter that a point does not have."""
        rows = [
            [
                axis.position(point[key]) if self._is_placed(key, point) else math.nan
                for key, axis in self._axes.items()
            ]
            for point in points
        ]
        return np.array(rows, dtype=np.float64).reshape(len(points), self.size)

    def columns(self, positions: Array) -> Array:
        """Columns (n, d) of positions (n, k); the midpoint for a parameter that is NaN."""
        parts = []
        for column, (key, axis) in zip(positions.T, self._axes.items(), strict=True):
            missing = np.isnan(column)
            if key in self._one_hot:
                words = axis.numbers(np.where(missing, 0.0, column))
                part = 0.5 * (words[:, None] == np.arange(axis.count))
                part[missing] = 0.0
            else:
                part = np.where(missing, 0.5, column)[:, None]
            parts.append(part)
        return np.hstack(parts) if parts else np.empty((len(positions), 0))

    def encode(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """Columns (n, d) of points."""
        return self.columns(self.positions(points))

    def decode(self, positions: Array) -> Point:
        """The point at positions (k,) in [0, 1); parameters that it does not have are left out."""
        point: Point = {}
        for position, (key, axis) in zip(positions.tolist(), self._axes.items(), strict=True):
            if self._applies is None or self._applies(key, point):
                point[key] = axis.value_at(position)
        return point

    def placed(self, positions: Array) -> Array:
        """Any positions (n, k), moved to those of the points that :meth:`decode` makes of them."""
        inside = np.clip(positions, 0.0, _LAST)
        placed = np.stack(
            [axis.placed(c) for c, axis in zip(inside.T, self._axes.values(), strict=True)], axis=1
        )
        if self._applies is not None:
            missing = np.array(
                [[key not in p for key in self._axes] for p in map(self.decode, inside)]
            )
            placed[missing] = np.nan
        return np.asarray(placed)

    def random(self, rng: np.random.Generator) -> Point:
        """A random point."""
        return self.decode(rng.random(self.size))

    def neighbours(
        self, positions: Array, count: int, radius: float, rng: np.random.Generator
    ) -> Array:
        """Positions (n · count, k) around positions (n, k), some ``radius`` away in every number.

        Of k words, one changes on average.
        """
        start = np.repeat(filled(positions, rng), count, axis=0)
        others, changed = rng.random((2, *start.shape))
        words = np.array([key in self._one_hot for key in self._axes], dtype=bool)
        moved = start + radius * rng.standard_normal(start.shape)
        flipped = np.where(changed * self.size < 1, others, start)
        return self.placed(np.where(words, flipped, moved))

    def single_changes(self, positions: Array, rng: np.random.Generator) -> Array:
        """Positions (c, k) that differ from one of (n, k) in one parameter of only a few values."""
        start = filled(positions, rng)
        changed = [np.empty((0, self.size))]
        for i, axis in enumerate(self._axes.values()):
            if axis.count <= _FEW:
                for number in range(axis.count):
                    moved = start.copy()
                    moved[:, i] = (number + 0.5) / axis.count
                    changed.append(moved)
        return self.placed(np.vstack(changed))

    def _is_placed(self, key: str, point: Mapping[str, Any]) -> bool:
        """Whether a point has a position: a key with a range may have the word auto in a file."""
        return key in point and (key in self._one_hot or isinstance(point[key], int | float))


def filled(positions: Array, rng: np.random.Generator) -> Array:
    """Positions in [0, 1) with random ones in place of NaN."""
    drawn = rng.random(positions.shape)
    return np.clip(np.where(np.isnan(positions), drawn, positions), 0.0, _LAST)


def _edges(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """The values at positions 0 and 1, half a step beyond the bounds; logarithms on a log scale."""
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None:
        last = low + math.floor((high - low) / step + 1e-9) * step
        low, high = low - step / 2, last + step / 2
    return (math.log(low), math.log(high)) if distribution.log else (low, high)
