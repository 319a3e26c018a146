"""Expected hypervolume improvement of two objectives, in closed form.

The region above the front is cut into strips, one between each two neighbours. For a point with
independent normal objectives, the expected volume that it adds to a strip is a product of two
expected improvements (Emmerich et al. 2006; in this form: Yang et al. 2019).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from reports.frontier import pareto_mask

Array = NDArray[np.float64]


def expected_hypervolume_improvement(
    mean: Array, deviation: Array, front: Array, reference: Array
) -> Array:
    """The hypervolume that each candidate is expected to add to a front.

    Args:
        mean: (n, 2) of the candidates' objectives, larger is better.
        deviation: (n, 2), above 0.
        front: (k, 2) points, k may be 0; dominated ones do not matter.
        reference: (2,) corner above which volume counts.

    Returns:
        (n,) float64, at least 0.
    """
    corners = _corners(front, reference)
    left, right = corners[:-1, 0], corners[1:, 0]
    first = _expected_excess(mean[:, :1], deviation[:, :1], left) - _expected_excess(
        mean[:, :1], deviation[:, :1], right
    )
    second = _expected_excess(mean[:, 1:], deviation[:, 1:], corners[1:, 1])
    return np.asarray(np.maximum(first * second, 0.0).sum(axis=1))


def _corners(front: Array, reference: Array) -> Array:
    """Corners of s strips, (s + 1, 2): strip i is between the first coordinates of rows i, i + 1.

    The second coordinate of row i + 1 is the height up to which the strip is dominated.
    """
    clipped = np.maximum(front.reshape(-1, 2), reference)
    clipped = clipped[pareto_mask(clipped)] if len(clipped) else clipped
    clipped = np.unique(clipped, axis=0)  # by the first coordinate; the second one falls
    return np.vstack([[reference[0], np.inf], clipped, [np.inf, reference[1]]])


def _expected_excess(mean: Array, deviation: Array, bound: Array) -> Array:
    """E[max(y − bound, 0)] of y normal, (n, s); 0 above an infinite bound."""
    finite = np.where(np.isfinite(bound), bound, 0.0)
    z = (mean - finite) / deviation
    excess = deviation * (norm.pdf(z) + z * norm.cdf(z))
    return np.where(np.isfinite(bound), excess, 0.0)
