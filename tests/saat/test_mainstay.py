import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import saat.blocks
import saat.mainstay
from saat.data.list_files import read_pair
from saat.exact_sums import exact_mainstay_sums
from saat.labels import LabelGroups
from saat.mainstay import MAINSTAY_WEIGHTS, MainstayCodes, group_coefficients, mainstay_codes
from tests import reference
from tests.saat.data.samples import input_error, real
from tests.saat.test_threat_model import Largest

# In the plain formula bits whose sum is smaller than this are decided by rounding.
UNDECIDED = 1e-9


def fast_codes(
    labels: np.ndarray, codes: np.ndarray, train_labels: np.ndarray, weights: str
) -> np.ndarray:
    fast = mainstay_codes(
        torch.from_numpy(labels),
        torch.from_numpy(codes),
        torch.from_numpy(train_labels),
        weights,  # type: ignore[arg-type]
    ).numpy()
    assert fast.shape == (len(labels), codes.shape[1])
    assert set(np.unique(fast)) <= {-1.0, 1.0}
    return fast


def assert_equals_exact(
    labels: np.ndarray, codes: np.ndarray, train_labels: np.ndarray, weights: str
) -> None:
    fast = fast_codes(labels, codes, train_labels, weights)
    exact = [reference.mainstay_code(label, codes, train_labels, weights) for label in labels]
    np.testing.assert_array_equal(fast, np.stack(exact))


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries' labels, training codes, training labels; sparse and dense, often with repeats."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items = draw(st.sampled_from([1, 2, 5, 17, 40]))
    queries = draw(st.sampled_from([1, 2, 8]))
    classes = draw(st.sampled_from([2, 3, 4, 7, 9]))
    bits = draw(st.sampled_from([1, 3, 8, 12, 33]))
    density = draw(st.sampled_from([0.0, 0.2, 0.4, 0.9, 1.0]))
    train_labels = (rng.random((items, classes)) < density).astype(np.uint8)
    if draw(st.booleans()):
        train_labels = train_labels[rng.integers(0, max(1, items // 4), items)]
    labels = (rng.random((queries, classes)) < draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(
        np.uint8
    )
    codes = (rng.integers(0, 2, (items, bits)) * 2 - 1).astype(np.int8)
    constant = rng.random(bits) < draw(st.sampled_from([0.0, 0.3]))
    codes[:, constant] = codes[:1, constant]
    return labels, codes, train_labels


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
@given(problem=problems())
def test_codes_equal_the_formula_without_rounding(
    weights: str, problem: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    labels, codes, train_labels = problem
    assert_equals_exact(labels, codes, train_labels, weights)
    # Before the sign, where a wrong weight shows even if it turns no bit.
    groups = LabelGroups.of(torch.from_numpy(train_labels))
    coefficients = group_coefficients(torch.from_numpy(labels), groups, weights)  # type: ignore[arg-type]
    sums = coefficients @ groups.sums(torch.from_numpy(codes))
    plain = [reference.mainstay_sum(label, codes, train_labels, weights) for label in labels]
    np.testing.assert_allclose(sums, np.stack(plain), rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
@given(problem=problems())
def test_exact_sums_are_the_formulas_times_a_positive_factor_a_row(
    weights: str, problem: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """Only sums near 0 are taken from them, where a wrong weight seldom turns a sign."""
    labels, codes, train_labels = problem
    groups = LabelGroups.of(torch.from_numpy(train_labels))
    sums = groups.sums(torch.from_numpy(codes))
    exact = exact_mainstay_sums(torch.from_numpy(labels), groups, sums, weights).numpy()
    for row, label in zip(exact, labels, strict=True):
        plain = reference.mainstay_sum(label, codes, train_labels, weights)
        largest = np.abs(plain).argmax()
        if abs(plain[largest]) < UNDECIDED:
            assert not row.any()
            continue
        factor = row[largest] / plain[largest]
        assert factor > 0
        np.testing.assert_allclose(row, factor * plain, rtol=0, atol=1e-9 * factor)


EDGES = {
    "no positives": ([[1, 0, 0]], [[0, 1, 0], [0, 0, 1]]),
    "no negatives": ([[1, 0, 0]], [[1, 1, 0], [1, 0, 0]]),
    "a query without a label": ([[0, 0, 0]], [[1, 1, 0], [0, 0, 1]]),
    "training rows without a label": ([[1, 0, 0]], [[0, 0, 0], [1, 0, 1]]),
    "no labels anywhere": ([[0, 0, 0]], [[0, 0, 0], [0, 0, 0]]),
    "duplicates": ([[1, 0, 1], [1, 0, 1]], [[1, 0, 1], [1, 0, 1], [0, 1, 1], [0, 1, 0]]),
    "one training row": ([[1, 0, 0], [0, 1, 0]], [[1, 1, 0]]),
}


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
@pytest.mark.parametrize("name", EDGES)
def test_edge_cases_equal_the_formula_without_rounding(name: str, weights: str) -> None:
    labels, train_labels = (np.array(part, dtype=np.uint8) for part in EDGES[name])
    for seed in range(10):
        codes = np.random.default_rng(seed).choice([-1, 1], (len(train_labels), 5)).astype(np.int8)
        assert_equals_exact(labels, codes, train_labels, weights)


def test_a_label_with_positives_only_gets_their_code_and_with_negatives_only_the_opposite() -> None:
    code = torch.tensor([[1, -1, 1]])
    here, elsewhere = torch.tensor([[1, 0]]), torch.tensor([[0, 1]])
    for weights in MAINSTAY_WEIGHTS:
        assert torch.equal(mainstay_codes(here, code, here, weights), code.float())  # type: ignore[arg-type]
        assert torch.equal(mainstay_codes(elsewhere, code, here, weights), -code.float())  # type: ignore[arg-type]


def test_the_three_weightings_differ() -> None:
    labels = torch.tensor([[1, 0, 0]])
    groups = LabelGroups.of(torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 0]]))
    saat, eq11, cgat = (
        group_coefficients(labels, groups, weights)[0] for weights in ("saat", "eq11", "cgat")
    )
    # Groups in lexicographic order: 010 (negative), 100 (cosine 1), 110 (cosine 1/√2).
    root = 0.5**0.5
    torch.testing.assert_close(saat, torch.tensor([-1, 1 / (1 + root), root / (1 + root)]).double())
    torch.testing.assert_close(eq11, torch.tensor([-1, 1 / 2, root / 2]).double())
    torch.testing.assert_close(cgat, torch.tensor([-1, 0.5, 0.5]).double())


def test_a_sum_of_exactly_zero_gives_plus_one() -> None:
    codes = torch.tensor([[1, -1], [-1, 1]])
    labels = torch.tensor([[1, 0], [1, 0]])
    assert mainstay_codes(labels[:1], codes, labels).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
@pytest.mark.parametrize("constant", [-1, 1])
def test_a_constant_bit_is_plus_one_wherever_there_are_positives_and_negatives(
    constant: int, weights: str
) -> None:
    """Every weighting subtracts a mean from a mean but Eq. 11's, whose cosines add up to less."""
    rng = np.random.default_rng(4)
    labels = torch.from_numpy((rng.random((400, 9)) < 0.25).astype(np.uint8))
    labels = labels[labels.sum(1) > 0]
    codes = random_codes(rng, len(labels), 6)
    codes[:, [1, 4]] = constant
    everyone = torch.arange(len(labels))
    expected = -constant if weights == "eq11" else 1
    for relaxed in (False, True):
        first = random_codes(rng, len(labels), 6)
        moving = MainstayCodes(first, labels, weights, relaxed)  # type: ignore[arg-type]
        moving.update(everyone, codes)
        for found in (moving.of_rows(everyone), moving.of_labels(labels)):
            assert set(found[:, [1, 4]].unique().tolist()) == {expected}
            assert torch.equal(found, mainstay_codes(labels, codes, labels, weights))  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
def test_roots_of_one_another_cancel(weights: str) -> None:
    """Items of one and of four labels: 1/√1 against 1/√4; with two labels nothing cancels."""
    query = np.array([[1, 0, 0, 0, 0, 0]], dtype=np.uint8)
    single, four, none = [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0]
    train = np.array([single, four, four, none, none], dtype=np.uint8)
    codes = np.array([[1, -1, -1, 1, -1]] * 2, dtype=np.int8).T
    assert_equals_exact(query, codes, train, weights)
    if weights != "cgat":  # 1 − ½ − ½
        assert fast_codes(query, codes, train, weights).tolist() == [[1.0, 1.0]]


def test_an_unknown_weighting_is_refused() -> None:
    with pytest.raises(ValueError, match="saat, eq11, cgat"):
        mainstay_codes(torch.ones(1, 2), torch.ones(1, 1), torch.ones(1, 2), "dhta")  # type: ignore[arg-type]


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
@pytest.mark.parametrize("dataset", ["FLICKR-25K", "NUS-WIDE", "MS-COCO"])
def test_codes_equal_the_plain_formula_on_published_lists(dataset: str, weights: str) -> None:
    folder = real("protocols") / dataset
    train, test = (
        read_pair(folder / f"{split}_img.txt", folder / f"{split}_label.txt").labels
        for split in ("train", "test")
    )
    rng = np.random.default_rng(0)
    # Class-informed codes: near the sign of a random projection of the labels.
    projected = train.astype(np.float64) @ rng.normal(size=(train.shape[1], 24))
    codes = reference.sign(projected + rng.normal(size=projected.shape)).astype(np.int8)
    queries = test[rng.choice(len(test), 100, replace=False)]
    for row, label in zip(fast_codes(queries, codes, train, weights), queries, strict=True):
        plain = reference.mainstay_sum(label, codes, train, weights)
        decided = np.abs(plain) > UNDECIDED
        assert np.array_equal(row[decided], reference.sign(plain)[decided])


def random_codes(rng: np.random.Generator, rows: int, bits: int) -> torch.Tensor:
    return torch.from_numpy(rng.choice([-1, 1], (rows, bits))).to(torch.int8)


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
def test_many_updates_equal_building_anew_bit_for_bit(weights: str) -> None:
    rng = np.random.default_rng(1)
    labels = torch.from_numpy((rng.random((60, 5)) < 0.3).astype(np.uint8))
    moving = MainstayCodes(random_codes(rng, 60, 12), labels, weights)  # type: ignore[arg-type]
    moving.of_rows(torch.arange(3))  # whatever is cached must survive the updates
    expected = moving.codes.clone()
    for _ in range(300):
        index = torch.from_numpy(rng.permutation(60)[: rng.integers(1, 20)])
        codes = random_codes(rng, len(index), 12)
        expected[index] = codes
        moving.update(index, codes.float())
    anew = MainstayCodes(expected, labels, weights)  # type: ignore[arg-type]
    assert torch.equal(moving.codes, anew.codes)
    assert torch.equal(moving.sums, anew.sums)
    everyone = torch.arange(60)
    assert torch.equal(moving.of_rows(everyone), anew.of_rows(everyone))
    assert torch.equal(moving.of_labels(labels), anew.of_labels(labels))


def test_rows_and_their_labels_get_the_same_codes() -> None:
    rng = np.random.default_rng(2)
    labels = torch.from_numpy((rng.random((50, 4)) < 0.4).astype(np.uint8))
    codes = MainstayCodes(random_codes(rng, 50, 9), labels)
    assert torch.equal(codes.of_rows(torch.arange(50)), codes.of_labels(labels))


def test_what_is_no_code_or_label_is_refused_in_one_line() -> None:
    labels, codes = torch.eye(3), torch.ones(3, 4)
    indices = torch.tensor([0, 1, 2])
    cases = [
        ((indices, codes, labels), "labels: shape (3,); must be (N, C)"),
        ((2 * labels, codes, labels), "labels: 2.0; must be 0 or 1"),
        ((labels, codes, indices[:, None]), "train_labels: shape (3, 1); must be (N, C)"),
        ((labels, 0 * codes, labels), "train_codes: 0.0; codes are −1 and +1"),
        ((labels, codes[:2], labels), "train_labels: 3 rows; train_codes has 2"),
        ((torch.eye(2), codes, labels), "labels of 2 and of 3 classes"),
    ]
    for arguments, expected in cases:
        assert expected in input_error(lambda: mainstay_codes(*arguments))  # noqa: B023


def test_the_codes_given_are_copied() -> None:
    given_codes = torch.ones(4, 3, dtype=torch.int8)
    codes = MainstayCodes(given_codes, torch.eye(4))
    codes.update(torch.tensor([0]), -torch.ones(1, 3))
    assert given_codes.min() == 1


def test_blocks_of_labels_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    labels = torch.from_numpy((rng.random((50, 4)) < 0.4).astype(np.uint8))
    codes = MainstayCodes(random_codes(rng, 50, 9), labels)
    whole = codes.of_labels(labels)
    monkeypatch.setattr(saat.blocks, "ELEMENTS", 160)
    assert torch.equal(codes.of_labels(labels), whole)


def test_no_labels_give_no_codes() -> None:
    assert mainstay_codes(torch.zeros(0, 2), torch.ones(3, 5), torch.ones(3, 2)).shape == (0, 5)


@pytest.mark.parametrize("weights", MAINSTAY_WEIGHTS)
def test_coefficients_of_many_groups_are_not_kept_and_give_the_same_codes(
    weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = torch.Generator().manual_seed(0)
    labels = (torch.rand(400, 12, generator=draws) < 0.3).float()
    codes = torch.rand(400, 16, generator=draws).sub(0.5).sign()
    groups, rows = LabelGroups.of(labels), torch.arange(32)
    count = len(groups.vectors)
    kept = MainstayCodes(codes, labels, weights)  # type: ignore[arg-type]
    expected = kept.of_rows(rows)
    monkeypatch.setattr(saat.mainstay, "KEPT_BYTES", 8 * count**2 - 1)
    with Largest() as largest:  # type: ignore[no-untyped-call]
        found = MainstayCodes(codes, labels, weights).of_rows(rows)  # type: ignore[arg-type]
    assert largest.seen < 8 * count**2
    assert torch.equal(found, expected)
