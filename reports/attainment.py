"""Empirical attainment: which trade-offs are reached by how many of several fronts.

A point of the objectives is attained by a front that has a point at least as good in all of them.
The surface of a level k of n is the border of what at least k fronts attain (Grunert da Fonseca,
Fonseca & Hall 2001). `moocore` computes it (Fonseca et al. 2011).
"""

from collections.abc import Sequence
from typing import NamedTuple

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST = 3  # fronts, below which there is no median beside best and worst


class AttainmentSurfaces(NamedTuple):
    """Corner points of surfaces, ``(N, m)``, oriented: larger is better."""

    best: NDArray[np.float64]  # attained by at least one front
    median: NDArray[np.float64]  # by at least half of them
    worst: NDArray[np.float64]  # by all


def attainment_surfaces(fronts: Sequence[ArrayLike]) -> AttainmentSurfaces:
    """The best, the median and the worst surface of fronts.

    Args:
        fronts: points ``(n_i, m)`` of each, m of 2 or 3, oriented: larger is better. A front
            without points attains nothing.
    """
    count = len(fronts)
    return AttainmentSurfaces(
        *(attainment_surface(fronts, level) for level in (1, -(-count // 2), count))
    )


def attainment_surface(fronts: Sequence[ArrayLike], level: int) -> NDArray[np.float64]:
    """Corner points of what at least ``level`` fronts attain, ``(N, m)``; see above."""
    arrays = [np.asarray(front, dtype=np.float64) for front in fronts]
    filled = [array for array in arrays if array.size]
    if level > len(filled):
        width = next((array.shape[1] for array in arrays if array.ndim == 2), 2)
        return np.empty((0, width))
    numbers = np.repeat(np.arange(len(filled)), [len(array) for array in filled])
    # A level is rounded up, so half a front less is on the safe side of rounding.
    percentile = 100 * (level - 0.5) / len(filled)
    found = moocore.eaf(-np.vstack(filled), numbers, percentiles=[percentile])
    return np.asarray(-found[:, :-1])
