import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from saat import distance_counts, distance_counts_numba, distance_counts_numpy
from saat.packed_codes import BLOCK_ITEMS, Packed, bit_planes, rows_of_bits
from tests import reference

Array = NDArray[Any]
LOOPS = [distance_counts_numba, distance_counts_numpy]
# Around a word, the planes that are added at once, a byte of bins, and a block of items.
WIDTHS = st.sampled_from([1, 2, 15, 16, 17, 31, 32, 33, 62, 63, 64, 100, 127, 128, 130])
ITEMS = st.sampled_from([0, 1, 3, 63, 64, 65, 2049, BLOCK_ITEMS - 1, BLOCK_ITEMS, BLOCK_ITEMS + 1])
LABELLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "random": lambda labels: labels,
    "equal": lambda labels: labels[:1].expand(labels.shape).clone(),
    "none": torch.zeros_like,
    "all": torch.ones_like,
    "one each": lambda labels: torch.eye(*labels.shape, dtype=torch.uint8),
}


def drawn(rows: int, bits: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    codes = torch.where(torch.rand(rows, bits, generator=g) < 0.5, -1, 1).to(torch.int8)
    labels = (torch.rand(rows, classes, generator=g) < 1.5 / classes).to(torch.uint8)
    return codes, labels


def counted_plainly(query: tuple[torch.Tensor, ...], database: tuple[torch.Tensor, ...]) -> Array:
    """Items at every distance from one query, not relevant and relevant: (K+1, 2)."""
    distance = (query[0] != database[0]).sum(1)
    relevant = (query[1] & database[1]).any(1)
    bits = len(query[0])
    rows = [torch.bincount(distance[relevant == r], minlength=bits + 1) for r in (False, True)]
    return torch.stack(rows, 1).numpy()


@pytest.mark.parametrize("loops", LOOPS)
@given(
    bits=WIDTHS,
    classes=WIDTHS,
    items=ITEMS,
    queries=st.sampled_from([0, 1, 2, 17]),
    labelling=st.sampled_from(sorted(LABELLINGS)),
    seed=st.integers(0, 99),
)
def test_counts_are_those_of_distances_and_shared_labels(
    loops: ModuleType, bits: int, classes: int, items: int, queries: int, labelling: str, seed: int
) -> None:
    codes, labels = drawn(queries, bits, classes, seed)
    database_codes, random_labels = drawn(items, bits, classes, seed + 1)
    database_labels = LABELLINGS[labelling](random_labels)
    counts = np.zeros((queries, 2 * (bits + 1)), np.int64)
    packed = Packed.of(codes, labels), Packed.of(database_codes, database_labels)
    loops.count(*packed, counts, items)
    for query, found in enumerate(counts):
        one = codes[query], labels[query]
        assert (
            found.reshape(-1, 2) == counted_plainly(one, (database_codes, database_labels))
        ).all()


@pytest.mark.lengthy
@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("nearest", ["first", "last", "anywhere"])
@given(
    bits=st.sampled_from([1, 7, 8, 31, 33, 64]),
    depth=st.sampled_from([1, 2, 100, BLOCK_ITEMS, 2 * BLOCK_ITEMS, 3 * BLOCK_ITEMS - 5]),
    seed=st.integers(0, 99),
)
def test_counts_reach_as_far_as_the_nearest_items(
    loops: ModuleType, nearest: str, bits: int, depth: int, seed: int
) -> None:
    codes, labels = drawn(2, bits, 3, seed)
    database = drawn(3 * BLOCK_ITEMS - 5, bits, 3, seed + 1)
    order = (codes[0] != database[0]).sum(1).argsort(descending=nearest == "last")
    if nearest != "anywhere":
        database = database[0][order], database[1][order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance_counts, "loops_for", lambda *_: loops)
        packed = Packed.of(codes, labels), Packed.of(*database)
        counts = distance_counts.count_distances(*packed, depth)
    for query, found in enumerate(counts):
        wanted = counted_plainly((codes[query], labels[query]), database)
        before = wanted.sum(1).cumsum() - wanted.sum(1)
        assert (found == wanted * (before < depth)[:, None]).all()


@given(bits=WIDTHS, items=ITEMS, seed=st.integers(0, 99))
def test_planes_hold_the_bits_of_the_words(bits: int, items: int, seed: int) -> None:
    codes = drawn(items, bits, 2, seed)[0]
    words = Packed.of(codes, torch.zeros(items, 2)).codes
    rows = rows_of_bits(words, 32 * len(words))
    assert (rows.sum(1) == (codes > 0).sum(1).numpy()).all()
    planes = bit_planes(words, 32 * len(words))
    assert not items or planes.ctypes.data % 64 == 0  # on a cache line
    octets = planes.transpose(0, 2, 1).copy().reshape(-1, planes.shape[1])
    for item in range(0, items, 97):
        single = octets[item // 64] >> np.uint64(item % 64) & np.uint64(1)
        assert (single == rows[item]).all()
    assert int(np.bitwise_count(planes).sum()) == int(rows.sum())  # items beyond N are 0


@pytest.mark.slow
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


@given(
    bits=st.sampled_from([3, 8, 32, 63]),
    depth=st.sampled_from([1, 5000, BLOCK_ITEMS, 2 * BLOCK_ITEMS + 65]),
    further=st.sampled_from([0, 7]),
    seed=st.integers(0, 99),
)
def test_both_loops_give_one_stable_order_over_blocks(
    bits: int, depth: int, further: int, seed: int
) -> None:
    database = Packed.of(*drawn(depth + further, bits, 40, seed))
    queries = Packed.of(*drawn(2, bits, 40, seed + 1))
    orders = [np.zeros((2, depth), np.bool_) for _ in LOOPS]
    for loops, hits in zip(LOOPS, orders, strict=True):
        loops.order(queries, database, hits)
    assert (orders[0] == orders[1]).all()


@pytest.mark.parametrize("loops", LOOPS)
@pytest.mark.parametrize("bits", [16_383, 16_384, 40_000])
def test_codes_of_any_length_are_counted(loops: ModuleType, bits: int) -> None:
    codes, labels = drawn(2, bits, 3, 0)
    database, found = Packed.of(codes, labels), np.zeros((2, 2 * (bits + 1)), np.int64)
    queries, hits = Packed.of(-codes, labels), np.zeros((2, 2), np.bool_)
    loops.count(queries, database, found, 2)
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
    assert distance_counts.loops_for(few, packed) is distance_counts_numpy
    monkeypatch.setattr(distance_counts, "COMPILED_FROM", 10_000)
    assert distance_counts.loops_for(few, packed) is distance_counts_numba


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "obstacle",
    [
        "import sys; sys.modules['numba'] = None",
        # Numba may keep compiled code in no folder.
        "from numba.core.caching import CacheImpl; CacheImpl._locator_classes = []",
    ],
)
def test_where_numba_cannot_compile_the_numpy_loops_count(obstacle: str) -> None:
    script = f"""
{obstacle}
import torch
from saat import distance_counts, distance_counts_numpy
from saat.packed_codes import Packed
distance_counts.COMPILED_FROM = 0
one = Packed.of(torch.ones(1, 8), torch.ones(1, 1))
assert distance_counts.loops_for(one, one) is distance_counts_numpy
assert distance_counts.count_distances(one, one, 1).tolist()[0][0] == [0, 1]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
