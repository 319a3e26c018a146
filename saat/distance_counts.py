"""Distance histograms and stable orders from packed bits, on the CPU.

Codes and labels are packed into 32-bit words. The distance of two codes is the number of set bits
of their exclusive or, and two items are relevant to each other where the conjunction of their
labels is not 0. Nothing is multiplied, and no ranking is sorted: distances are counted.

With Numba (``pip install saat-harness[fast]``) the loops are compiled; without it NumPy makes the
same passes. Both count integers, so their results are equal.
"""

from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Words = NDArray[np.uint32]

# Items whose words and bins stay in the first-level cache.
BLOCK_ITEMS = 2048
# Pairs of a query and an item below which starting Numba, about a second, is not paid back.
_COMPILED_FROM = 1 << 25


class Packed(NamedTuple):
    """Codes and labels in words, one row a word: item i is column i.

    Attributes:
        codes: uint32 (⌈K/32⌉, N).
        labels: uint32 (⌈C/32⌉, N).
        bits: K.
    """

    codes: Words
    labels: Words
    bits: int

    @classmethod
    def of(cls, codes: Tensor, labels: Tensor) -> "Packed":
        """From ±1 codes (N, K) and 0/1 labels (N, C)."""
        return cls(_words(codes > 0), _words(labels > 0), codes.shape[1])

    def columns(self, items: slice) -> "Packed":
        """Some of the items."""
        return Packed(self.codes[:, items], self.labels[:, items], self.bits)


def count_distances(queries: Packed, database: Packed) -> NDArray[np.int64]:
    """Items of the database per query, distance and relevance.

    Args:
        queries: Q of them.
        database: with as many bits and classes.

    Returns:
        int64 (Q, K+1, 2): not relevant, relevant.
    """
    counts = np.zeros((queries.codes.shape[1], 2 * (queries.bits + 1)), np.int64)
    _loops(queries, database).count(queries, database, counts)
    return counts.reshape(len(counts), queries.bits + 1, 2)


def relevance_in_stable_order(queries: Packed, database: Packed, depth: int) -> NDArray[np.bool_]:
    """Whether the items of the ranking by (distance, index) are relevant.

    Args:
        queries: Q of them.
        database: with as many bits and classes.
        depth: of the ranking, at most N.

    Returns:
        bool (Q, depth).
    """
    hits = np.zeros((queries.codes.shape[1], depth), np.bool_)
    _loops(queries, database).order(queries, database, hits)
    return hits


def _words(values: Tensor) -> Words:
    """Booleans (N, K) as words (⌈K/32⌉, N)."""
    rows, bits = values.shape
    padded = np.zeros((rows, -(-bits // 32) * 32), np.bool_)
    padded[:, :bits] = values.cpu().numpy()
    words = np.packbits(padded.reshape(-1)).view(np.uint32)  # of whole bytes, which is faster
    return np.ascontiguousarray(words.reshape(padded.shape[0], padded.shape[1] // 32).T)


def _loops(queries: Packed, database: Packed) -> ModuleType:
    pairs = queries.codes.shape[1] * database.codes.shape[1]
    compiled = _compiled() if pairs >= _COMPILED_FROM else None
    if compiled is not None:
        return compiled
    from saat import distance_counts_numpy

    return distance_counts_numpy


@cache
def _compiled() -> ModuleType | None:
    """The compiled loops; None without Numba."""
    try:
        from saat import distance_counts_numba
    except ImportError:
        return None
    return distance_counts_numba
