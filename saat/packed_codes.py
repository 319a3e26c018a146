"""Codes and labels as bits in 32-bit words, which distances are counted from."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from saat.bit_planes import PLANES_AT_ONCE, Planes, bit_planes

Words = NDArray[np.uint32]


class PackedPlanes(NamedTuple):
    """Bit planes of codes and labels; see :func:`saat.bit_planes.bit_planes`."""

    codes: Planes
    labels: Planes


@dataclass(frozen=True)
class Packed:
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

    @cached_property
    def planes(self) -> PackedPlanes:
        """The same bits as planes, made when they are first asked for."""
        rows = -(-self.bits // PLANES_AT_ONCE) * PLANES_AT_ONCE
        labels = bit_planes(self.labels, 32 * len(self.labels))
        return PackedPlanes(bit_planes(self.codes, rows), labels)


def _words(values: Tensor) -> Words:
    """Booleans (N, K) as words (⌈K/32⌉, N)."""
    rows, bits = values.shape
    padded = np.zeros((rows, -(-bits // 32) * 32), np.bool_)
    padded[:, :bits] = values.cpu().numpy()
    words = np.packbits(padded.reshape(-1)).view(np.uint32)  # of whole bytes, which is faster
    return np.ascontiguousarray(words.reshape(padded.shape[0], padded.shape[1] // 32).T)
