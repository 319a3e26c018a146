"""Codes and labels as bits in 32-bit words, which distances are counted from.

Compiled loops count with bit planes: one bit of 64 items in a word.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Words = NDArray[np.uint32]
Planes = NDArray[np.uint64]

# 128 words a plane: all planes of 32 bits and what is computed from them stay in the caches of a
# core. Numba keeps this number in its compiled code: with another one, save that module anew.
BLOCK_WORDS = 128
BLOCK_ITEMS = 64 * BLOCK_WORDS
# Planes of codes that are added at once.
PLANES_AT_ONCE = 16

_CACHE_LINE = 64
# Exchanges of single bits, pairs and fours that transpose 8 × 8 bits (Warren, Hacker's Delight).
_EXCHANGES = ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0))


@dataclass(frozen=True)
class Packed:
    """Codes and labels in words, one row a word: item i is column i."""

    codes: Words  # uint32 (⌈K/32⌉, N)
    labels: Words  # uint32 (⌈C/32⌉, N)
    bits: int  # K

    @classmethod
    def of(cls, codes: Tensor, labels: Tensor) -> "Packed":
        """From ±1 codes (N, K) and 0/1 labels (N, C)."""
        return cls(_words(codes > 0), _words(labels > 0), codes.shape[1])

    def columns(self, items: slice) -> "Packed":
        """Some of the items."""
        return Packed(self.codes[:, items], self.labels[:, items], self.bits)

    @cached_property
    def planes(self) -> tuple[Planes, Planes]:
        """Those of the codes and of the labels, made when they are first asked for."""
        rows = -(-self.bits // PLANES_AT_ONCE) * PLANES_AT_ONCE
        return bit_planes(self.codes, rows), bit_planes(self.labels, 32 * len(self.labels))


def _words(values: Tensor) -> Words:
    """Booleans (N, K) as words (⌈K/32⌉, N)."""
    rows, bits = values.shape
    padded = np.zeros((rows, -(-bits // 32) * 32), np.bool_)
    padded[:, :bits] = values.cpu().numpy()
    words = np.packbits(padded.reshape(-1)).view(np.uint32)  # of whole bytes, which is faster
    return np.ascontiguousarray(words.reshape(padded.shape[0], padded.shape[1] // 32).T)


def bit_planes(words: Words, rows: int) -> Planes:
    """Bits of items as planes, in blocks.

    Args:
        words: uint32 (⌈K/32⌉, N), one column an item.
        rows: planes that are made, a multiple of 8 and at most 32·⌈K/32⌉.

    Returns:
        uint64 (⌈N/BLOCK_ITEMS⌉, rows, BLOCK_WORDS). Item i of a block is bit i mod 64 of word
        i // 64; plane 8·j + b is bit b of byte j. Items beyond N are 0.
    """
    (given, items), size = words.shape, rows // 8
    blocks = -(-items // BLOCK_ITEMS)
    single = words.view(np.uint8).reshape(given, items, 4).transpose(0, 2, 1)
    octets = np.zeros((size, blocks * BLOCK_ITEMS), np.uint8)
    octets[:, :items] = single.reshape(4 * given, items)[:size]
    squares = octets.view(np.uint64)  # eight items
    for shift, mask in _EXCHANGES:
        moved = (squares ^ (squares >> np.uint64(shift))) & np.uint64(mask)
        squares ^= moved ^ (moved << np.uint64(shift))
    planes = empty_on_cache_lines((blocks, rows, BLOCK_WORDS))
    by_byte = planes.view(np.uint8).reshape(blocks, size, 8, BLOCK_ITEMS // 8)
    by_byte[:] = octets.reshape(size, blocks, BLOCK_ITEMS // 8, 8).transpose(1, 0, 3, 2)
    return planes


def rows_of_bits(words: Words, rows: int) -> NDArray[np.bool_]:
    """Bits of items in the order of :func:`bit_planes`: bool (N, rows)."""
    own = np.ascontiguousarray(words.T).view(np.uint8)
    bits: NDArray[Any] = np.unpackbits(own, axis=1, count=rows, bitorder="little")
    return bits.astype(np.bool_)


def empty_on_cache_lines(shape: tuple[int, ...]) -> Planes:
    """An uninitialised uint64 array that starts on a cache line: wide loads then touch one."""
    size = 8 * int(np.prod(shape))
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(np.uint64).reshape(shape)
