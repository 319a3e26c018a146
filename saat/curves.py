"""Precision over recall from distance histograms; NumPy alone, so that reports need no torch."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

RECALL_LEVELS: NDArray[np.float64] = np.linspace(0.025, 1.0, 40)


def precision_at_recall(
    total: ArrayLike, relevant: ArrayLike, levels: ArrayLike = RECALL_LEVELS
) -> NDArray[np.float64]:
    """Precision at recall levels from distance histograms, ties in random order.

    Inside a block of equal distance the expected number of relevant items grows linearly, so
    expected recall and precision of every cut are exact (McSherry & Najork 2008). A level is read
    at the first cut whose expected recall reaches it. A query without a relevant item has
    precision 0 at every level, as it has AP 0.

    Args:
        total: ``(Q, K+1)`` database items at each Hamming distance.
        relevant: ``(Q, K+1)`` relevant ones among them.
        levels: ``(L,)`` recalls in (0, 1].

    Returns:
        ``(L,)`` float64, the mean over all queries; NaN where there is none.
    """
    counts, hits = (np.asarray(a, dtype=np.float64) for a in (total, relevant))
    levels, queries = np.asarray(levels, dtype=np.float64), len(hits)
    if not queries:
        return np.full(len(levels), np.nan)
    counts, hits = (array[hits.sum(axis=1) > 0] for array in (counts, hits))
    found, ranked = hits.cumsum(axis=1), counts.cumsum(axis=1)
    means = np.empty(len(levels))
    for i, level in enumerate(levels):
        wanted = level * found[:, -1:]
        # Products of a level round; the last block must still be found at recall 1.
        block = np.argmax(found >= wanted * (1 - 1e-12), axis=1)[:, None]
        n, r = np.take_along_axis(counts, block, 1), np.take_along_axis(hits, block, 1)
        before = np.take_along_axis(found, block, 1) - r
        cut = np.take_along_axis(ranked, block, 1) - n + n * (wanted - before) / r
        means[i] = (wanted / cut).sum() / queries
    return means


def precision_at_depth(total: ArrayLike, relevant: ArrayLike, depths: ArrayLike) -> NDArray:
    """Precision within the first n items (P@N) from distance histograms, ties in random order.

    :func:`saat.retrieval.precision_at` computes the same from codes. Histograms are those of
    :func:`precision_at_recall`; ``depths`` ``(D,)`` are numbers of items, from 1 to the size of the
    database. The result is ``(D,)`` float64, the mean over all queries; NaN where there is none.
    """
    counts, hits = (np.asarray(a, dtype=np.float64) for a in (total, relevant))
    wanted = np.asarray(depths, dtype=np.float64)
    if not len(hits):
        return np.full(len(wanted), np.nan)
    before = counts.cumsum(axis=1) - counts
    share = np.divide(hits, counts, out=np.zeros_like(hits), where=counts > 0)
    found = [(np.clip(n - before, 0, counts) * share).sum(axis=1).mean() / n for n in wanted]
    return np.array(found, dtype=np.float64)
