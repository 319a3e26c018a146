"""Codes and labels as bits in 32-bit words, which distances are counted from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Words = NDArray[np.uint32]

# Items whose words and bins stay in the first-level cache.
BLOCK_ITEMS = 2048


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


def _words(values: Tensor) -> Words:
    """Booleans (N, K) as words (⌈K/32⌉, N)."""
    rows, bits = values.shape
    padded = np.zeros((rows, -(-bits // 32) * 32), np.bool_)
    padded[:, :bits] = values.cpu().numpy()
    words = np.packbits(padded.reshape(-1)).view(np.uint32)  # of whole bytes, which is faster
    return np.ascontiguousarray(words.reshape(padded.shape[0], padded.shape[1] // 32).T)
