"""In which order settings are chosen from fronts, with or without a preference."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reports.frontier import hypervolume, pareto_ranks, select_by_hypervolume
from saat.feasibility import Aims

Values = NDArray[np.float64]
Rows = NDArray[np.int64]


def order_of_choice(aims: Aims, values: Values, wanted: NDArray[np.bool_], count: int) -> list[int]:
    """Choose settings from the fronts of all, one front after the other.

    ``search.prefer`` decides the order:

    - Without it, settings of a front are chosen greedily by hypervolume.
    - With weights, those of a front come in the order of their weighted sums. Each objective is
      measured from its reference, in units of the distance to the best value on the first front.
    - With bounds, all settings that keep them come before all others; each of the two groups is
      ordered by fronts and hypervolume.

    Args:
        aims: objectives and preference.
        values: of the eligible settings, ``(n, m)``, oriented: larger is better.
        wanted: which of them may be chosen, ``(n,)``; the others have their places in the fronts.
        count: how many to choose.

    Returns:
        Indices in the order of choice, ``count`` at most.
    """
    ranks = pareto_ranks(values)
    best = values[ranks == 0].max(axis=0, initial=-np.inf)
    chosen: list[int] = []
    for group in _groups(aims, values, ranks):
        rows = group[wanted[group]]
        chosen += rows[_order(aims, values[rows], best, count - len(chosen))].tolist()
    return chosen


def score_of_choice(aims: Aims, values: Values, best: Values, chosen: Values) -> tuple[float, ...]:
    """What a single setting is chosen by, after others: the larger, the earlier.

    Tuples are compared from the left: whether the preferred bounds are kept, the hypervolume that
    the setting adds to those chosen before it, and its own. With weights it is the weighted sum.

    Args:
        aims: objectives and preference.
        values: of the setting, ``(m,)``, oriented: larger is better.
        best: the best value of each objective on the front, ``(m,)``, oriented.
        chosen: of the settings that were chosen before, ``(k, m)``, oriented.
    """
    if aims.preference is not None and aims.preference.weights is not None:
        return (float(_weighted_sums(aims, values[None], best)[0]),)
    added = hypervolume(np.vstack([chosen, values]), aims.corner) - hypervolume(chosen, aims.corner)
    return float(not lacking(aims, values[None])[0]), added, hypervolume(values[None], aims.corner)


def lacking(aims: Aims, values: Values) -> NDArray[np.bool_]:
    """Whether settings ``(n, m)``, oriented, do not keep the preferred bounds, ``(n,)``."""
    if aims.preference is None:
        return np.zeros(len(values), dtype=np.bool_)
    bounds = [np.nan if bound is None else bound for bound in aims.preference.bounds]
    return np.asarray((values < aims.oriented(bounds)).any(axis=1))  # NaN asks for nothing


def _weighted_sums(aims: Aims, values: Values, best: Values) -> Values:
    """Weighted sums (n,), each objective in units of its way from the reference to ``best``."""
    corner = np.array(aims.corner)
    span = np.where(best > corner, best - corner, np.inf)
    weights = np.array(aims.preference.weights if aims.preference else ())
    return np.asarray((values - corner) / span @ weights)


def _groups(aims: Aims, values: Values, ranks: Rows) -> Iterator[Rows]:
    """Rows of ``values`` that are chosen one group after the other."""
    short = lacking(aims, values)
    for group in (~short, short):
        for rank in np.unique(ranks[group]):
            yield np.flatnonzero(group & (ranks == rank))


def _order(aims: Aims, values: Values, best: Values, count: int) -> Rows:
    """Order of choice of at most ``count`` rows of one front."""
    if aims.preference is None or aims.preference.weights is None:
        return select_by_hypervolume(values, count, aims.corner)
    return np.argsort(-_weighted_sums(aims, values, best), kind="stable")[:count]
