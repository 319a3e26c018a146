"""The loops of :mod:`saat.distance_counts`, compiled by Numba when they are first called.

They work on bit planes, where one instruction on a word is one on a bit of 64 items. Full adders
sum the planes in which a query and the items differ, as in Harley and Seal's population count. The
distances are then planes too: ones, twos, fours and so on. The items at a distance are the set bits
of a conjunction of these planes. The relevant ones are also set in a plane of the query's labels.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.extending import intrinsic
from numpy.typing import NDArray

from saat.packed_codes import (
    BLOCK_ITEMS,
    BLOCK_WORDS,
    PLANES_AT_ONCE,
    Packed,
    empty_on_cache_lines,
    rows_of_bits,
)

Array = NDArray[Any]
# Codes and labels of the database: uint64, blocks × planes in a row. Masks of the queries' codes:
# uint64 (Q, planes). Their labels: bool (Q, planes). Memory for planes of some blocks: of
# distances, a spare one, and one of the relevant items. N.
Operands = tuple[Array, Array, Array, Array, Array, int]
Function = TypeVar("Function", bound=Callable[..., Any])

_W = BLOCK_WORDS
_NONE, _ONE, _ALL = np.uint64(0), np.uint64(1), ~np.uint64(0)
_QUERIES_AT_ONCE = 16


def count(queries: Packed, database: Packed, counts: Array, depth: int) -> None:
    """Add to int64 (Q, 2·(K+1)): items at every distance, not relevant and relevant.

    Distances beyond those of the nearest ``depth`` items are counted in some blocks only.
    """
    found = np.zeros((len(counts), queries.bits // 8 + 1, 2, 4, 2), np.int64)
    _count(_operands(queries, database, 1), depth, found)
    every = found.reshape(len(counts), 8 * found.shape[1], 2)[:, : queries.bits + 1]
    every[..., 0] -= every[..., 1]
    counts += every.reshape(counts.shape)


def order(queries: Packed, database: Packed, hits: Array) -> None:
    """Fill bool (Q, depth): relevance in the order by (distance, index)."""
    blocks = len(database.planes[0])
    _order(_operands(queries, database, blocks), queries.bits, hits)


def _operands(queries: Packed, database: Packed, blocks: int) -> Operands:
    """Arguments of the loops, with memory for ``blocks``."""
    codes, labels = database.planes
    masks = np.where(rows_of_bits(queries.codes, codes.shape[1]), _ALL, _NONE)
    wanted = rows_of_bits(queries.labels, labels.shape[1])
    # Items of the last block that do not exist get ones in all planes, a distance beyond K.
    # Sixteen planes are added at once, so the distances have four planes at least.
    levels = max(4, (queries.bits + 1).bit_length())
    memory = empty_on_cache_lines((blocks, (levels + 2) * _W))
    flat = [planes.reshape(len(planes), planes.shape[1] * _W) for planes in (codes, labels)]
    return flat[0], flat[1], masks, wanted, memory, database.codes.shape[1]


def _compiled(function: Function) -> Function:
    return cast("Function", njit(nogil=True, cache=True)(function))


def _counting(_typing: Any, word: Any) -> Any:
    return word(word), lambda _context, builder, _signature, words: builder.ctpop(words[0])


_set_bits: Callable[..., Any] = intrinsic(_counting)


@_compiled
def _add(a: Any, b: Any, c: Any) -> tuple[Any, Any]:
    """A full adder: sum and carry."""
    either = a ^ b
    return either ^ c, (a & b) | (either & c)


@_compiled
def _add_sixteen(p: Array, flips: Array, sums: Array, carry: Array) -> None:
    """Add 16 planes to those of ones, twos, fours and eights; sixteens are carried."""
    f0, f1, f2, f3 = flips[0], flips[1], flips[2], flips[3]
    f4, f5, f6, f7 = flips[4], flips[5], flips[6], flips[7]
    f8, f9, f10, f11 = flips[8], flips[9], flips[10], flips[11]
    f12, f13, f14, f15 = flips[12], flips[13], flips[14], flips[15]
    for w in range(_W):
        one, a = _add(sums[w], p[w] ^ f0, p[_W + w] ^ f1)
        one, b = _add(one, p[2 * _W + w] ^ f2, p[3 * _W + w] ^ f3)
        two, c = _add(sums[_W + w], a, b)
        one, a = _add(one, p[4 * _W + w] ^ f4, p[5 * _W + w] ^ f5)
        one, b = _add(one, p[6 * _W + w] ^ f6, p[7 * _W + w] ^ f7)
        two, d = _add(two, a, b)
        four, e = _add(sums[2 * _W + w], c, d)
        one, a = _add(one, p[8 * _W + w] ^ f8, p[9 * _W + w] ^ f9)
        one, b = _add(one, p[10 * _W + w] ^ f10, p[11 * _W + w] ^ f11)
        two, c = _add(two, a, b)
        one, a = _add(one, p[12 * _W + w] ^ f12, p[13 * _W + w] ^ f13)
        one, b = _add(one, p[14 * _W + w] ^ f14, p[15 * _W + w] ^ f15)
        two, d = _add(two, a, b)
        four, g = _add(four, c, d)
        eight, sixteen = _add(sums[3 * _W + w], e, g)
        sums[w], sums[_W + w], sums[2 * _W + w], sums[3 * _W + w] = one, two, four, eight
        carry[w] = sixteen


@_compiled
def _add_carry(level: Array, carry: Array) -> None:
    for w in range(_W):
        both = level[w] & carry[w]
        level[w] ^= carry[w]
        carry[w] = both


@_compiled
def _fill(operands: Operands, query: int, block: int, memory: Array) -> None:
    """The planes of a query and a block: distances, spare, relevant."""
    codes, labels = operands[0][block], operands[1][block]
    flips, wanted = operands[2][query], operands[3][query]
    items = operands[5] - block * BLOCK_ITEMS
    spare, relevant = len(memory) - 2 * _W, len(memory) - _W
    memory[:] = _NONE
    for first in range(0, len(flips), PLANES_AT_ONCE):
        end = first + PLANES_AT_ONCE
        carry = memory[spare:relevant]
        _add_sixteen(codes[first * _W : end * _W], flips[first:end], memory, carry)
        for level in range(4 * _W, spare, _W):
            _add_carry(memory[level : level + _W], carry)
    if items < BLOCK_ITEMS:
        word = items // 64
        for level in range(0, spare, _W):
            memory[level + word] |= _ALL << np.uint64(items % 64)
            memory[level + word + 1 : level + _W] = _ALL
    for label in range(len(wanted)):
        if wanted[label]:
            memory[relevant:] |= labels[label * _W : (label + 1) * _W]


@_compiled
def _flip(number: int, bit: int) -> Any:
    """What makes a plane 1 where it is this bit of the number."""
    return _NONE if (number >> bit) & 1 else _ALL


@_compiled
def _restrict(plane: Array, other: Array, flip: Any) -> None:
    for w in range(_W):
        plane[w] &= other[w] ^ flip


@_compiled
def _select_eight(eight: int, memory: Array) -> bool:
    """Select, in the spare plane, the distances 8·eight to 8·eight + 7; whether there are any."""
    sums, selected = memory[: -2 * _W], memory[-2 * _W : -_W]
    selected[:] = _ALL
    for level in range(3, len(sums) // _W):
        _restrict(selected, sums[level * _W : (level + 1) * _W], _flip(eight, level - 3))
    found = _NONE
    for w in range(_W):
        found |= selected[w]
    return bool(found != _NONE)


@_compiled
def _count_four(half: int, memory: Array, counts: Array) -> None:
    """Add to (4, 2): items at four of the eight selected distances, and relevant ones of them."""
    selected, relevant = memory[-2 * _W : -_W], memory[-_W:]
    upper_half = _flip(half, 0)
    n0 = n1 = n2 = n3 = r0 = r1 = r2 = r3 = _NONE
    for w in range(_W):
        one, two, wanted = memory[w], memory[_W + w], relevant[w]
        four = selected[w] & (memory[2 * _W + w] ^ upper_half)
        lower, upper = four & ~two, four & two
        e0, e1, e2, e3 = lower & ~one, lower & one, upper & ~one, upper & one
        n0 += _set_bits(e0)
        n1 += _set_bits(e1)
        n2 += _set_bits(e2)
        n3 += _set_bits(e3)
        r0 += _set_bits(e0 & wanted)
        r1 += _set_bits(e1 & wanted)
        r2 += _set_bits(e2 & wanted)
        r3 += _set_bits(e3 & wanted)
    for low, both in enumerate(((n0, r0), (n1, r1), (n2, r2), (n3, r3))):
        counts[low, 0] += np.int64(both[0])
        counts[low, 1] += np.int64(both[1])


@_compiled
def _count(operands: Operands, depth: int, counts: Array) -> None:
    memory = operands[4][0]
    eights = np.full(len(counts), counts.shape[1])  # that the nearest items are within
    for first in range(0, len(counts), _QUERIES_AT_ONCE):
        for block in range(len(operands[0])):  # which stays in the cache for all of them
            for query in range(first, min(first + _QUERIES_AT_ONCE, len(counts))):
                _fill(operands, query, block, memory)
                own, near = counts[query], 0
                for eight in range(eights[query]):
                    if _select_eight(eight, memory):
                        for half in range(2):
                            _count_four(half, memory, own[eight, half])
                    near += own[eight, ..., 0].sum()
                    if near >= depth:
                        eights[query] = eight + 1
                        break


@_compiled
def _order(operands: Operands, bits: int, hits: Array) -> None:
    memory = operands[4]
    some = np.empty(len(memory), np.bool_)  # of the blocks have one of the selected distances
    for query in range(len(hits)):
        for block in range(len(memory)):
            _fill(operands, query, block, memory[block])
        place = 0
        for eight in range(bits // 8 + 1):
            for block in range(len(memory)):
                some[block] = _select_eight(eight, memory[block])
            for low in range(8):
                for block in range(len(memory)):
                    if some[block]:
                        place = _append(low, memory[block], hits[query], place)
            if place == hits.shape[1]:
                break


@_compiled
def _append(low: int, memory: Array, hits: Array, place: int) -> int:
    """Write relevance at one of the eight selected distances from ``place`` on; where it ends."""
    selected, relevant = memory[-2 * _W : -_W], memory[-_W:]
    flips = _flip(low, 0), _flip(low, 1), _flip(low, 2)
    for w in range(_W):
        rest = selected[w] & (memory[w] ^ flips[0]) & (memory[_W + w] ^ flips[1])
        rest &= memory[2 * _W + w] ^ flips[2]
        while rest != _NONE and place < len(hits):
            below = (rest - _ONE) & ~rest  # the bits below the lowest one that is set
            hits[place] = (relevant[w] >> _set_bits(below)) & _ONE != _NONE
            rest &= rest - _ONE
            place += 1
    return place
