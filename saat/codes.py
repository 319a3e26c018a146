"""Binary codes: ±1 vectors, their bits, and Hamming distances."""

import numpy as np
import torch
from torch import Tensor


def sign(values: Tensor) -> Tensor:
    """Codes ±1 of real values; zero gives +1.

    Args:
        values: real tensor of any shape.

    Returns:
        Tensor of the same shape and dtype with entries −1 and +1. (``torch.sign`` gives 0 at 0,
        which is no code.)
    """
    return torch.where(values >= 0, 1.0, -1.0).to(values.dtype)


def hamming_distance(a: Tensor, b: Tensor) -> Tensor:
    """Hamming distances D_H(a, b) = (K − a·b)/2 between two sets of codes.

    Args:
        a: ±1 codes (Q, K), any dtype.
        b: ±1 codes (N, K).

    Returns:
        int64 (Q, N), entries 0…K. Exact: float32 holds integers up to 2²⁴.
    """
    bits = a.shape[1]
    products = a.float() @ b.float().T
    return ((bits - products) * 0.5).round().long()


def pack_bits(codes: Tensor) -> np.ndarray:
    """Pack ±1 codes (N, K) into uint8 (N, ⌈K/8⌉), +1 as a set bit, first bit highest."""
    return np.packbits((codes > 0).cpu().numpy(), axis=1)


def distinct_codes(codes: Tensor) -> int:
    """How many different codes there are among ±1 codes (N, K)."""
    packed = np.ascontiguousarray(pack_bits(codes))
    return len(np.unique(packed.view(f"V{packed.shape[1]}"))) if len(packed) else 0


def unpack_bits(packed: np.ndarray, bits: int) -> Tensor:
    """Inverse of :func:`pack_bits`: int8 ±1 codes (N, ``bits``)."""
    return torch.from_numpy(np.unpackbits(packed, axis=1, count=bits).astype(np.int8) * 2 - 1)
