"""Points of a search space as positions in a cube, which a Gaussian process needs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.experiment.space import Dimension

Array = NDArray[np.float64]
Point = dict[str, Any]


class SpaceEncoding:
    """Points ↔ positions.

    Args:
        space: searched keys.
        base: the experiment's own flat setting, for conditions on keys that are not searched.
    """

    def __init__(self, space: Mapping[str, Dimension], base: Mapping[str, Any]) -> None:
        self._space, self._base = space, base
        self._words = {
            key: dimension.choice
            for key, dimension in space.items()
            if dimension.choice is not None
            and not all(isinstance(value, int | float) for value in dimension.choice)
        }

    def places(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """(n, d) positions: a column for a number, one for every value of a choice of words.

        Of a key that does not apply, or whose value is no number, the middle.
        """
        rows = [[x for key in self._space for x in self._columns(key, p)] for p in points]
        return np.array(rows, dtype=np.float64).reshape(len(points), -1)

    def point(self, shares: Array) -> Point:
        """The point at shares (d,) in [0, 1), without the keys whose conditions do not hold."""
        point: Point = {}
        for share, (key, dimension) in zip(shares, self._space.items(), strict=True):
            if not dimension.when or dimension.applies({**self._base, **point}):
                point[key] = dimension.value_at(float(share))
        return point

    def neighbour(self, point: Mapping[str, Any], radius: float, rng: np.random.Generator) -> Point:
        """A point some ``radius`` away in every key."""
        shares = [
            dimension.position(point[key]) if key in point else rng.random()
            for key, dimension in self._space.items()
        ]
        moved = np.array(shares) + radius * rng.standard_normal(len(shares))
        return self.point(np.clip(moved, 0.0, np.nextafter(1.0, 0.0)))

    def _columns(self, key: str, point: Mapping[str, Any]) -> list[float]:
        value = point.get(key)
        if key in self._words:
            return [0.5 * (key in point and value == choice) for choice in self._words[key]]
        number = isinstance(value, int | float)  # of a range; the file may say auto
        return [self._space[key].position(value) if number else 0.5]
