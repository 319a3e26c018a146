import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saat.codes import hamming_distance, pack_bits, sign
from tests import reference
from tests.saat.data.samples import input_error


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int8])
def test_sign_of_zero_is_plus_one_and_the_dtype_stays(dtype: torch.dtype) -> None:
    codes = sign(torch.tensor([-2, -1, 0, 1, 2], dtype=dtype))
    assert codes.tolist() == [-1, -1, 1, 1, 1]
    assert codes.dtype == dtype


def test_sign_of_negative_zero_is_plus_one() -> None:
    assert sign(torch.tensor([-0.0])).tolist() == [1.0]


def codes(rows: int, bits: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.choice([-1, 1], (rows, bits)).astype(np.int8))


sizes = st.tuples(st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 5, 8, 31, 64]))


@given(size=sizes, seed=st.integers(0, 1000))
def test_hamming_distance_counts_differing_bits(size: tuple[int, int, int], seed: int) -> None:
    queries, items, bits = size
    a, b = codes(queries, bits, seed), codes(items, bits, seed + 1)
    found = hamming_distance(a, b)
    assert found.dtype == torch.int64
    assert found.tolist() == [[reference.hamming(x, y) for y in b.numpy()] for x in a.numpy()]


@given(rows=st.integers(0, 5), bits=st.integers(1, 33), seed=st.integers(0, 1000))
def test_unpacked_bits_are_the_codes(rows: int, bits: int, seed: int) -> None:
    original = codes(rows, bits, seed)
    packed = pack_bits(original)
    assert packed.dtype == np.uint8
    assert packed.shape == (rows, -(-bits // 8))
    unpacked = np.unpackbits(packed, axis=1, count=bits).astype(np.int8) * 2 - 1
    assert np.array_equal(unpacked, original.numpy())


def test_the_first_bit_is_the_highest() -> None:
    assert pack_bits(torch.tensor([[1, -1, -1, -1, -1, -1, -1, -1, 1]])).tolist() == [[128, 128]]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (torch.eye(3), "codes are −1 and +1"),
        (torch.full((2, 3), torch.nan), "nan; codes are −1 and +1"),
        (torch.ones(3), "shape (3,); must be codes (N, K)"),
        (torch.ones(2, 4), "bits; must be of equal length"),
    ],
)
def test_distances_of_what_is_no_code_are_refused(codes: torch.Tensor, expected: str) -> None:
    good = torch.ones(2, 3)
    assert expected in input_error(lambda: hamming_distance(codes, good))
    assert expected in input_error(lambda: hamming_distance(good, codes))
