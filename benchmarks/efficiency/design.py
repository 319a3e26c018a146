"""The settings that are recorded: the paper's defaults and a low-discrepancy design of the space.

Positions are coordinates in [0, 1], one a searched key: logarithmic where the key is, whole
numbers and choices in the middle of their share of the interval.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from harness.experiment.config import Experiment
from harness.experiment.published import paper_defaults
from harness.experiment.space import Dimension
from harness.search.samplers.ehvi.encoding import Axis, Point


def positions(space: Mapping[str, Dimension], point: Mapping[str, Any]) -> NDArray[np.float64]:
    """Coordinates (d,) of a point of the space."""
    return np.array([Axis(d.distribution()).position(point[key]) for key, d in space.items()])


def design(experiment: Experiment, count: int) -> list[tuple[str, Point]]:
    """(role, point) of the paper's defaults, then of ``count`` points of a Sobol sequence.

    The sequence is scrambled; every beginning of the list covers the space evenly, so a recording
    that was cut short is still one.

    Raises:
        ValueError: the space has conditions (``when``) or steps.
    """
    space = experiment.space
    if any(d.when or d.step is not None for d in space.values()):
        raise ValueError("a design needs a space without when and step")
    # A balanced sequence has a power of two of points; a beginning of it is what is asked for.
    sequence = qmc.Sobol(len(space), seed=0).random_base2(max(1, (count - 1).bit_length()))
    sampled = [
        {
            key: Axis(dimension.distribution()).value_at(float(position))
            for position, (key, dimension) in zip(row, space.items(), strict=True)
        }
        for row in sequence[:count]
    ]
    defaults = [("default", point) for point in paper_defaults(experiment)]
    return [*defaults, *(("sampled", point) for point in sampled)]
