"""Partial dependence of clean and robust MAP on each searched key (Friedman 2001).

For a value v of a key, the model's prediction is averaged over the completed settings of the
search, each with v in place of its own value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.experiment.space import Dimension
from harness.search.final_model import FinalModel
from reports.explanation import Dependence, Estimate
from saat.metrics import OBJECTIVES

GRID = 33  # values of a range


def partial_dependence(space: Mapping[str, Dimension], model: FinalModel) -> list[Dependence]:
    """A curve for each key with several values and each of clean and robust MAP.

    A key under ``when`` is averaged over the settings that have it; without one it is left out.
    """
    found = []
    for key, dimension in space.items():
        settings = [point for point in model.points.values() if key in point]
        values = values_of(dimension)
        if not settings or len(values) < 2:
            continue
        curve = [
            model.average([model.changed(point, {key: value}) for point in settings])
            for value in values
        ]
        for name in OBJECTIVES:
            estimates: list[Estimate] = [estimate[name] for estimate in curve]
            found.append(Dependence(key, name, values, estimates, len(settings)))
    return found


def values_of(dimension: Dimension) -> Sequence[Any]:
    """All choices, or at most `GRID` values of a range, evenly spread on its scale."""
    if dimension.choice is not None:
        return list(dimension.choice)
    low, high = dimension.bounds
    spread = np.geomspace if dimension.log else np.linspace
    even: list[Any] = spread(low, high, GRID).tolist()
    even[0], even[-1] = low, high  # without rounding
    grid = dimension.grid()
    if grid is None:
        return even
    if len(grid) <= GRID:
        return list(grid)
    nearest = np.abs(np.subtract.outer(even, np.array(grid, dtype=np.float64))).argmin(axis=1)
    return [grid[row] for row in np.unique(nearest).tolist()]
