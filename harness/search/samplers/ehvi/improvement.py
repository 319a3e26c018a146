"""Expected improvements of normal objectives, in closed form.

The region above the front and the reference point is cut into boxes. For a point with independent
normal objectives, the expected volume that it adds to a box is a product of expected improvements,
one for each objective (Emmerich et al. 2006; in this form: Yang et al. 2019).
"""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from reports.frontier import pareto_mask

Array = NDArray[np.float64]


def expected_hypervolume_improvement(
    mean: Array, deviation: Array, front: Array, reference: Array
) -> Array:
    """The hypervolume that each candidate is expected to add to a front.

    Args:
        mean: (n, m) of the candidates' objectives, larger is better; m ≥ 1.
        deviation: (n, m), above 0.
        front: (k, m) points, k may be 0; dominated ones do not matter.
        reference: (m,) corner above which volume counts.

    Returns:
        (n,) float64, at least 0.
    """
    lower, upper = non_dominated_boxes(front, reference)
    volumes = np.ones((len(mean), len(lower)))
    for objective in range(mean.shape[1]):
        bounds = np.concatenate([lower[:, objective], upper[:, objective]])
        levels, places = np.unique(bounds, return_inverse=True)
        excess = expected_excess(mean[:, [objective]], deviation[:, [objective]], levels)
        below, above = np.split(places, 2)
        volumes *= np.maximum(excess[:, below] - excess[:, above], 0.0)
    return np.asarray(volumes.sum(axis=1))


def non_dominated_boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """Disjoint boxes that fill the region above ``reference`` that no point of a front dominates.

    The region is cut into slabs at the last coordinates of the points. Within a slab, the points
    that reach above it leave a region of one dimension less.

    Args:
        front: (k, m) points, k may be 0; dominated ones do not matter.
        reference: (m,) corner.

    Returns:
        Lower and upper corners (b, m); an upper coordinate may be infinite.
    """
    points = np.maximum(front.reshape(-1, len(reference)), reference)
    if len(points):
        points = points[pareto_mask(points)]
    if len(reference) == 1:
        return np.array([[points.max(initial=reference[0])]]), np.array([[np.inf]])
    levels = np.unique(np.concatenate([[reference[-1]], points[:, -1], [np.inf]]))
    lowers, uppers = [], []
    for bottom, top in itertools.pairwise(levels):
        lower, upper = non_dominated_boxes(points[points[:, -1] >= top, :-1], reference[:-1])
        lowers.append(np.column_stack([lower, np.full(len(lower), bottom)]))
        uppers.append(np.column_stack([upper, np.full(len(upper), top)]))
    return np.vstack(lowers), np.vstack(uppers)


def expected_excess(mean: Array, deviation: Array, bound: Array) -> Array:
    """E[max(y − bound, 0)] of normal y; 0 above an infinite bound. Arguments are broadcast."""
    finite = np.where(np.isfinite(bound), bound, 0.0)
    z = (mean - finite) / deviation
    excess = deviation * (np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + z * ndtr(z))
    return np.where(np.isfinite(bound), np.maximum(excess, 0.0), 0.0)
