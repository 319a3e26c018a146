"""Pareto fronts and hypervolume, shared by scheduler, tracker and report.

Points are rows of ``values`` ``(n, m)``, with one column per objective; larger is better, and n may
be 0. A row with a value that is not finite is a trial without a result. It is never on a front and
adds no hypervolume.
"""

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

# Of clean and robust MAP: both lie in [0, 1], so the origin is worse than every trial of every
# search, and hypervolumes of different searches can be compared. Other objectives have the
# references of saat.feasibility.Aims.
REFERENCE = (0.0, 0.0)


def pareto_ranks(values: ArrayLike) -> NDArray[np.int64]:
    """Rank of every point by non-dominated sorting (Deb et al. 2002, NSGA-II).

    Returns:
        ``(n,)`` int64; 0 is the front, equal points share a rank, and a row that is not finite
        has the worst rank, which is at least 1.
    """
    points, usable = _points(values)
    ranks = np.zeros(len(points), dtype=np.int64)
    if usable.any():
        ranks[usable] = moocore.pareto_rank(points[usable], maximise=True)
    ranks[~usable] = ranks.max(initial=0) + 1
    return ranks


def pareto_mask(values: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates, ``(n,)``; copies of one are on the front together."""
    return np.equal(pareto_ranks(values), 0)


def additive_gap(values: ArrayLike) -> NDArray[np.float64]:
    """The smallest amount that, added to every objective, puts each point on the front.

    The additive ε-indicator of the point against the front (Zitzler et al. 2003).

    Returns:
        ``(n,)`` float64; 0 on the front, inf for a row that is not finite.
    """
    points, usable = _points(values)
    gap = np.full(len(points), np.inf)
    if usable.any():
        front = points[pareto_mask(points)]
        lacking = (front[None] - points[usable, None]).min(axis=2).max(axis=1)
        gap[usable] = np.maximum(lacking, 0.0)
    return gap


def hypervolume(values: ArrayLike, reference: ArrayLike = REFERENCE) -> float:
    """Volume that the points dominate above the reference point (Zitzler & Thiele 1998).

    Points that do not exceed the reference ``(m,)`` in every objective add nothing.
    """
    corner = np.asarray(reference, dtype=np.float64)
    points, usable = _points(values)
    if not usable.any():
        return 0.0
    return float(moocore.hypervolume(points[usable], ref=corner, maximise=True))


def select_by_hypervolume(
    values: ArrayLike, k: int, reference: ArrayLike = REFERENCE
) -> NDArray[np.int64]:
    """Choose at most k points of the front, greedily by the hypervolume that each adds.

    Hypervolume is submodular, so the greedy choice reaches at least 1 − 1/e of the best
    possible (Nemhauser et al. 1978). Equal gains are decided by the lowest index.

    Returns:
        Indices in the order of choice; fewer than k when the front has fewer distinct points.
    """
    points, _ = _points(values)
    front = np.flatnonzero(pareto_mask(points))
    _, first_copies = np.unique(points[front], axis=0, return_index=True)
    candidates = [int(i) for i in front[np.sort(first_copies)]]
    chosen: list[int] = []
    while candidates and len(chosen) < k:
        volumes = [hypervolume(points[[*chosen, i]], reference) for i in candidates]
        chosen.append(candidates.pop(int(np.argmax(volumes))))
    return np.array(chosen, dtype=np.int64)


def epsilon_net_order(values: ArrayLike, count: int | None = None) -> NDArray[np.int64]:
    """Order points of one front so that the first k points are spread out, for every k.

    The tie-break of MO-ASHA (Schmucker et al. 2021, arXiv 2106.12639): begin with the best
    point in the first objective, then always take the point farthest from all chosen ones.
    Every objective is scaled to the range of the points first, so that units do not matter.
    Equal distances are decided by the lowest index; rows that are not finite come last.

    Returns:
        ``(count,)`` int64, the beginning of a permutation of the row indices; all by default.
    """
    points, usable = _points(values)
    rows = np.flatnonzero(usable)
    wanted = len(points) if count is None else count
    if not len(rows):
        return np.arange(wanted, dtype=np.int64)
    scaled = points[rows] - points[rows].min(axis=0)
    scaled /= np.maximum(scaled.max(axis=0), np.finfo(np.float64).tiny)
    order = [int(np.argmax(scaled[:, 0]))]
    distance = np.linalg.norm(scaled - scaled[order[0]], axis=1)
    while len(order) < min(len(rows), wanted):
        distance[order[-1]] = -1.0
        order.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[order[-1]], axis=1))
    return np.concatenate([rows[order], np.flatnonzero(~usable)])[:wanted].astype(np.int64)


def _points(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The points (n, m), and which of them are finite."""
    points = np.asarray(values, dtype=np.float64)
    if points.shape == (0,):
        points = points.reshape(0, 1)
    return points, np.asarray(np.isfinite(points).all(axis=1), dtype=np.bool_)
