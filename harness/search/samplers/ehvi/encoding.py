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


class Axis:
    """The values of one parameter along the interval [0, 1).

    Steps are even in the logarithm where the distribution is logarithmic. Whole numbers, steps and
    choices each have an equal part of the interval.
    """

    def __init__(self, distribution: BaseDistribution) -> None:
        self._choices: tuple[Any, ...] | None = None
        if isinstance(distribution, CategoricalDistribution):
            self._choices = distribution.choices
        elif isinstance(distribution, FloatDistribution | IntDistribution):
            self._bounds = distribution.low, distribution.high
            self._log, self._step = distribution.log, distribution.step
            self._whole = isinstance(distribution, IntDistribution)
            self._low, self._high = _edges(distribution)

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
    """Points ↔ positions.

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
        self._applies = applies or (lambda _key, _point: True)
        self._one_hot = {
            key: d.choices
            for key, d in space.items()
            if isinstance(d, CategoricalDistribution)
            and not all(isinstance(value, int | float) for value in d.choices)
        }

    def encode(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """Positions (n, d): one column per number, and one per value of a categorical parameter.

        A parameter that a point does not have is encoded as the midpoint.
        """
        rows = [[x for key in self._axes for x in self._columns(key, p)] for p in points]
        return np.array(rows, dtype=np.float64).reshape(len(points), -1)

    def decode(self, positions: Array) -> Point:
        """The point at positions (k,) in [0, 1); parameters that it does not have are left out."""
        point: Point = {}
        for position, (key, axis) in zip(positions, self._axes.items(), strict=True):
            if self._applies(key, point):
                point[key] = axis.value_at(float(position))
        return point

    def random(self, rng: np.random.Generator) -> Point:
        """A random point."""
        return self.decode(rng.random(len(self._axes)))

    def neighbour(self, point: Mapping[str, Any], radius: float, rng: np.random.Generator) -> Point:
        """A point some ``radius`` away in every parameter."""
        positions = [
            axis.position(point[key]) if key in point else rng.random()
            for key, axis in self._axes.items()
        ]
        moved = np.array(positions) + radius * rng.standard_normal(len(positions))
        return self.decode(np.clip(moved, 0.0, np.nextafter(1.0, 0.0)))

    def _columns(self, key: str, point: Mapping[str, Any]) -> list[float]:
        value = point.get(key)
        if key in self._one_hot:
            return [0.5 * (key in point and value == choice) for choice in self._one_hot[key]]
        # A key with a range may have the word auto in the file of a search.
        number = isinstance(value, int | float)
        return [self._axes[key].position(value) if number else 0.5]


def _edges(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """The values at positions 0 and 1, half a step beyond the bounds; logarithms on a log scale."""
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is not None:
        last = low + math.floor((high - low) / step + 1e-9) * step
        low, high = low - step / 2, last + step / 2
    return (math.log(low), math.log(high)) if distribution.log else (low, high)
