"""The loops of :mod:`saat.distance_counts`, compiled by Numba when they are first called.

The first pass over a block of items makes bins, 2·distance + relevant, in vector instructions; the
second counts them. Four histograms in turn keep an increment from waiting for the one before it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.extending import intrinsic
from numpy.typing import NDArray

from saat.packed_codes import BLOCK_ITEMS, Packed, Words

Array = NDArray[Any]
_ONE = np.uint32(1)
_QUERIES_AT_ONCE = 16


def count(queries: Packed, database: Packed, counts: Array) -> None:
    """Add to int64 (Q, 2·(K+1)): items at every distance, not relevant and relevant."""
    _count(*queries[:2], *database[:2], counts)


def order(queries: Packed, database: Packed, hits: Array) -> None:
    """Fill bool (Q, depth): relevance in the order by (distance, index), by counting sort."""
    _order(*queries[:2], *database[:2], queries.bits, hits)


def _intrinsic_set_bits(typing: Any, word: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), code


_set_bits: Callable[..., Any] = intrinsic(_intrinsic_set_bits)


def _fill_bins(
    code: Words, label: Words, codes: Words, labels: Words, start: int, bins: Array
) -> None:
    size = len(bins)
    bins[:] = 0
    for word in range(len(codes)):
        own, others = code[word], codes[word, start : start + size]
        for item in range(size):
            bins[item] += _set_bits(own ^ others[item]) << _ONE
    for word in range(len(labels)):
        own, others = label[word], labels[word, start : start + size]
        for item in range(size):
            bins[item] |= np.uint32((own & others[item]) != 0)


_bins: Callable[..., None] = njit(nogil=True, cache=True)(_fill_bins)


def _count_loop(
    query_codes: Words, query_labels: Words, codes: Words, labels: Words, counts: Array
) -> None:
    items = codes.shape[1]
    buffer = np.empty(BLOCK_ITEMS, np.uint32)
    for first in range(0, len(counts), _QUERIES_AT_ONCE):
        queries = min(_QUERIES_AT_ONCE, len(counts) - first)
        own_codes = query_codes[:, first : first + queries].T.copy()
        own_labels = query_labels[:, first : first + queries].T.copy()
        parts = np.zeros((queries, 4, counts.shape[1]), np.uint32)
        for start in range(0, items, BLOCK_ITEMS):  # a block stays in the cache for all of them
            bins = buffer[: min(BLOCK_ITEMS, items - start)]
            whole = len(bins) - len(bins) % 4
            for query in range(queries):
                _bins(own_codes[query], own_labels[query], codes, labels, start, bins)
                part = parts[query]
                for item in range(0, whole, 4):
                    part[0, bins[item]] += _ONE
                    part[1, bins[item + 1]] += _ONE
                    part[2, bins[item + 2]] += _ONE
                    part[3, bins[item + 3]] += _ONE
                for item in range(whole, len(bins)):
                    part[0, bins[item]] += _ONE
        for query in range(queries):
            counts[first + query] += parts[query].sum(0).astype(np.int64)


_count: Callable[..., None] = njit(nogil=True, cache=True)(_count_loop)


def _order_loop(
    query_codes: Words, query_labels: Words, codes: Words, labels: Words, bits: int, hits: Array
) -> None:
    items, depth = codes.shape[1], hits.shape[1]
    bins = np.empty(items, np.uint32)
    for query in range(len(hits)):
        code, label = query_codes[:, query].copy(), query_labels[:, query].copy()
        for start in range(0, items, BLOCK_ITEMS):
            _bins(code, label, codes, labels, start, bins[start : start + BLOCK_ITEMS])
        place = np.zeros(bits + 2, np.int64)  # of the next item at each distance
        for item in range(items):
            place[(bins[item] >> _ONE) + 1] += 1
        for distance in range(1, bits + 2):
            place[distance] += place[distance - 1]
        for item in range(items):
            distance = bins[item] >> _ONE
            if place[distance] < depth:
                hits[query, place[distance]] = bins[item] & _ONE
            place[distance] += 1


_order: Callable[..., None] = njit(nogil=True, cache=True)(_order_loop)
