"""Distance histograms and stable orders from packed bits, on the CPU.

The distance of two codes is the number of set bits of their exclusive or, and two items are
relevant to each other where the conjunction of their labels is not 0. Nothing is multiplied, and
no ranking is sorted: distances are counted.

With Numba (``pip install saat-harness[fast]``) compiled loops count them from bit planes; without
it NumPy makes passes over 32-bit words. Both count integers, so their results are equal.
"""

from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from saat import distance_counts_numpy
from saat.packed_codes import Packed

# Pairs of a query and an item below which starting Numba, about a second, is not paid back.
COMPILED_FROM = 1 << 25


def count_distances(queries: Packed, database: Packed, depth: int) -> NDArray[np.int64]:
    """Items per query, distance and relevance: int64 (Q, K+1, 2), not relevant and relevant.

    Distances at which all items are farther than the nearest ``depth`` have 0. Queries and
    database have as many bits and classes.
    """
    counts = np.zeros((queries.codes.shape[1], 2 * (queries.bits + 1)), np.int64)
    loops_for(queries, database).count(queries, database, counts, depth)
    both = counts.reshape(len(counts), queries.bits + 1, 2)
    total = both.sum(2)
    both[total.cumsum(1) - total >= depth] = 0
    return both


def relevance_in_stable_order(queries: Packed, database: Packed, depth: int) -> NDArray[np.bool_]:
    """Whether the first items of the ranking by (distance, index) are relevant: bool (Q, depth).

    Arguments are those of :func:`count_distances`.
    """
    hits = np.zeros((queries.codes.shape[1], depth), np.bool_)
    loops_for(queries, database).order(queries, database, hits)
    return hits


def loops_for(queries: Packed, database: Packed) -> ModuleType:
    """The module whose loops count: the compiled one where that pays, and where it can be."""
    pairs = queries.codes.shape[1] * database.codes.shape[1]
    compiled = _compiled() if pairs >= COMPILED_FROM else None
    return compiled or distance_counts_numpy


@cache
def _compiled() -> ModuleType | None:
    """The compiled loops; None without Numba, or where it may keep compiled code in no folder."""
    try:
        from saat import distance_counts_numba
    except (ImportError, RuntimeError):
        return None
    return distance_counts_numba
