import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saat import distance_counts, distance_counts_numba, distance_counts_numpy
from saat.packed_codes import Packed
from tests import reference

LOOPS = [distance_counts_numba, distance_counts_numpy]
# Around a word, a byte of bins, and a block of items.
WIDTHS = st.sampled_from([1, 2, 31, 32, 33, 64, 100, 127, 128, 130])
ITEMS = st.sampled_from([0, 1, 3, 4, 5, 2047, 2048, 2049, 4103])


def drawn(rows: int, bits: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    codes = torch.where(torch.rand(rows, bits, generator=g) < 0.5, -1, 1).to(torch.int8)
    labels = (torch.rand(rows, classes, generator=g) < 1.5 / classes).to(torch.uint8)
    return codes, labels


@pytest.mark.parametrize("loops", LOOPS)
@given(bits=WIDTHS, classes=WIDTHS, items=ITEMS, queries=st.integers(0, 3), seed=st.integers(0, 99))
def test_counts_are_those_of_distances_and_shared_labels(
    loops: ModuleType, bits: int, classes: int, items: int, queries: int, seed: int
) -> None:
    codes, labels = drawn(queries, bits, classes, seed)
    database_codes, database_labels = drawn(items, bits, classes, seed + 1)
    counts = np.zeros((queries, 2 * (bits + 1)), np.int64)
    loops.count(Packed.of(codes, labels), Packed.of(database_codes, database_labels), counts)
    distance = (codes[:, None] != database_codes[None]).sum(2)
    relevant = (labels[:, None] & database_labels[None]).any(2)
    for query in range(queries):
        for row in (0, 1):
            wanted = torch.bincount(distance[query][relevant[query] == row], minlength=bits + 1)
            assert (counts[query, row::2] == wanted.numpy()).all()


@pytest.mark.parametrize("loops", LOOPS)
@given(bits=WIDTHS, items=st.integers(1, 40), depth=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_stable_order_is_by_distance_and_then_by_index(
    loops: ModuleType, bits: int, items: int, depth: int, seed: int
) -> None:
    codes, labels = drawn(2, bits, 3, seed)
    database_codes, database_labels = drawn(items, bits, 3, seed + 1)
    hits = np.zeros((2, min(depth, items)), np.bool_)
    loops.order(Packed.of(codes, labels), Packed.of(database_codes, database_labels), hits)
    for query in range(2):
        order = sorted(
            range(items),
            key=lambda i: (reference.hamming(codes[query].numpy(), database_codes[i].numpy()), i),
        )
        wanted = [
            reference.relevant(labels[query].numpy(), database_labels[i].numpy()) for i in order
        ]
        assert hits[query].tolist() == wanted[:depth]


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("bits", [16_383, 16_384, 40_000])
def test_codes_of_any_length_are_counted(loops: ModuleType, bits: int) -> None:
    codes, labels = drawn(2, bits, 3, 0)
    database, found = Packed.of(codes, labels), np.zeros((2, 2 * (bits + 1)), np.int64)
    queries, hits = Packed.of(-codes, labels), np.zeros((2, 2), np.bool_)
    loops.count(queries, database, found)
    loops.order(queries, database, hits)
    for query in range(2):
        distance = (codes != -codes[query]).sum(1).tolist()
        relevant = (labels & labels[query]).any(1).tolist()
        places = sorted(2 * d + r for d, r in zip(distance, relevant, strict=True))
        assert np.repeat(np.arange(found.shape[1]), found[query]).tolist() == places
        assert hits[query].tolist() == [relevant[i] for i in np.argsort(distance, kind="stable")]


def test_large_databases_use_the_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = Packed.of(*drawn(5000, 32, 5, 0))
    few = Packed.of(*drawn(2, 32, 5, 1))
    assert distance_counts._loops(few, packed) is distance_counts_numpy
    monkeypatch.setattr(distance_counts, "_COMPILED_FROM", 10_000)
    assert distance_counts._loops(few, packed) is distance_counts_numba


def test_without_numba_the_numpy_loops_count() -> None:
    script = """
import sys
sys.modules["numba"] = None
import torch
from saat import distance_counts, distance_counts_numpy
from saat.packed_codes import Packed
distance_counts._COMPILED_FROM = 0
one = Packed.of(torch.ones(1, 8), torch.ones(1, 1))
assert distance_counts._loops(one, one) is distance_counts_numpy
assert distance_counts.count_distances(one, one).tolist()[0][0] == [0, 1]
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_a_folder_for_compiled_code_the_numpy_loops_count() -> None:
    script = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []
from saat import distance_counts
assert distance_counts._compiled() is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)
