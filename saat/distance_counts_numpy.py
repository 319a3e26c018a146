"""The loops of :mod:`saat.distance_counts` as passes of NumPy over blocks of items."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saat.packed_codes import Packed

Array = NDArray[Any]

# Bins of a block stay in the second-level cache, and each pass over it is a call.
_BLOCK_ITEMS = 1 << 15


def count(queries: Packed, database: Packed, counts: Array, depth: int) -> None:
    """Add to int64 (Q, 2·(K+1)): items at every distance, not relevant and relevant.

    All distances are counted, also those beyond the nearest ``depth`` items.
    """
    del depth
    for start in range(0, database.codes.shape[1], _BLOCK_ITEMS):
        part = database.columns(slice(start, start + _BLOCK_ITEMS))
        for query in range(len(counts)):
            # NumPy's bincount would copy the bins to int64 first.
            bins = torch.from_numpy(_bins(queries, query, part))
            counts[query] += torch.bincount(bins, minlength=counts.shape[1]).numpy()


def order(queries: Packed, database: Packed, hits: Array) -> None:
    """Fill bool (Q, depth): relevance in the order by (distance, index)."""
    for query in range(len(hits)):
        bins = _bins(queries, query, database)
        # NumPy sorts 8 and 16 bits by counting.
        ranking = np.argsort(bins >> 1, kind="stable")[: hits.shape[1]]
        hits[query] = bins[ranking] & 1


def _bins(queries: Packed, query: int, database: Packed) -> Array:
    """2·distance + relevant of every item, (N,) of the smallest type that torch counts."""
    kinds: tuple[type[np.integer[Any]], ...] = (np.uint8, np.int16, np.int32)
    kind = next(kind for kind in kinds if 2 * queries.bits + 1 <= np.iinfo(kind).max)
    bins: Array = np.zeros(database.codes.shape[1], kind)
    for code, codes in zip(queries.codes[:, query], database.codes, strict=True):
        bins += np.bitwise_count(codes ^ code)
    bins <<= 1
    for label, labels in zip(queries.labels[:, query], database.labels, strict=True):
        np.bitwise_or(bins, (labels & label) != 0, out=bins)
    return bins
