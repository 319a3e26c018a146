"""Binary codes: ±1 vectors, their bits, and Hamming distances."""

import numpy as np
import torch
from torch import Tensor

from saat.errors import InputError


def sign(values: Tensor) -> Tensor:
    """Codes ±1 of real values, same shape and dtype; zero gives +1, unlike ``torch.sign``."""
    return torch.where(values >= 0, 1.0, -1.0).to(values.dtype)


def check_codes(name: str, codes: Tensor) -> None:
    """Refuse what is not ±1 codes (N, K) of any dtype; 0/1 codes would give wrong distances.

    The ``InputError`` begins with ``name``, and names the shape or a value.
    """
    if codes.ndim != 2:
        raise InputError(f"{name}: shape {tuple(codes.shape)}; must be codes (N, K)")
    is_code = (codes == 1) | (codes == -1)
    if not is_code.all():
        found = codes[~is_code][0].item()
        raise InputError(f"{name}: {found}; codes are −1 and +1: saat.codes.sign(features)")


def hamming_distance(a: Tensor, b: Tensor) -> Tensor:
    """Hamming distances D_H(a, b) = (K − a·b)/2 between ±1 codes (Q, K) and (N, K) of any dtype.

    Returns:
        int64 (Q, N), entries 0…K. Exact: float32 holds integers up to 2²⁴.

    Raises:
        InputError: not such codes, or of different lengths.
    """
    check_codes("a", a)
    check_codes("b", b)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"codes of {a.shape[1]} and of {b.shape[1]} bits; must be of equal length")
    return unchecked_hamming_distance(a, b)


def unchecked_hamming_distance(a: Tensor, b: Tensor) -> Tensor:
    """:func:`hamming_distance` of what is known to be codes, for inner loops."""
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
