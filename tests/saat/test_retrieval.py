import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import saat.blocks
from saat.codes import hamming_distance
from saat.labels import relevance
from saat.protocol_options import TIES, Ties
from saat.retrieval import (
    Database,
    DistanceHistograms,
    average_precision,
    chance_average_precision,
    mean_average_precision,
    precision_at,
)
from tests import reference
from tests.saat.data.samples import input_error

Ranking = tuple[Tensor, Tensor, Tensor, Tensor]


def ranking(seed: int, queries: int, items: int, bits: int, density: float = 0.3) -> Ranking:
    """Query codes, query labels, database codes, database labels; few bits make many ties."""
    rng = np.random.default_rng(seed)
    codes = [rng.choice([-1, 1], (rows, bits)).astype(np.int8) for rows in (queries, items)]
    labels = [(rng.random((rows, 4)) < density).astype(np.uint8) for rows in (queries, items)]
    query, database = (torch.from_numpy(c) for c in codes)
    return query, torch.from_numpy(labels[0]), database, torch.from_numpy(labels[1])


def distance_histograms(
    query: Tensor, query_labels: Tensor, database: Tensor, labels: Tensor
) -> DistanceHistograms:
    return Database(database, labels).histograms(query, query_labels)


def plain(problem: Ranking) -> list[tuple[list[int], list[bool]]]:
    """Per query: distances and relevance of every database item, item by item."""
    query, query_labels, database, labels = (part.numpy() for part in problem)
    return [
        (
            [reference.hamming(code, other) for other in database],
            [reference.relevant(label, other) for other in labels],
        )
        for code, label in zip(query, query_labels, strict=True)
    ]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Ranking, int]:
    items = draw(st.integers(1, 40))
    problem = ranking(
        draw(st.integers(0, 2**32 - 1)),
        queries=draw(st.integers(1, 4)),
        items=items,
        bits=draw(st.sampled_from([1, 3, 8, 13])),
        density=draw(st.sampled_from([0.0, 0.1, 0.3, 0.8, 1.0])),
    )
    return problem, draw(st.integers(1, items))


FORMULAS = {
    "stable": reference.stable_average_precision,
    "expected": reference.expected_average_precision,
}


@pytest.mark.parametrize("ties", ["stable", "expected"])
@given(case=problems())
def test_average_precision_equals_the_plain_formula(ties: Ties, case: tuple[Ranking, int]) -> None:
    problem, top_k = case
    expected = [FORMULAS[ties](*query, top_k) for query in plain(problem)]
    found = average_precision(*problem, top_k=top_k, ties=ties)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    mean = mean_average_precision(*problem, top_k=top_k, ties=ties)
    assert mean == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("top_k", [1, 2, 3, 5, 7])
def test_expected_ties_equal_the_mean_over_all_orders_of_ties(top_k: int) -> None:
    for seed in range(30):
        problem = ranking(seed, queries=1, items=7, bits=2, density=0.4)
        ((distances, relevant),) = plain(problem)
        orders = reference.orders_of_ties(distances)
        expected = reference.average_precision_over_orders(orders, relevant, top_k)
        found = average_precision(*problem, top_k=top_k, ties="expected")
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_a_cut_inside_a_block_of_ties_counts_its_share() -> None:
    # Distances 0, then a block of four at 1 with one relevant; the cut at 3 takes two of the four.
    database = torch.tensor([[1, 1], [1, -1], [-1, 1], [1, -1], [1, -1]])
    labels = torch.tensor([[1, 0], [0, 1], [0, 1], [0, 1], [1, 0]])
    one = torch.ones(1, 2), torch.tensor([[1, 0]])
    # E[relevant] = 1 + 2/4; E[gain] = 1 + 1/4·2/2 + 1/4·2/3.
    expected = (1 + 1 / 4 + 1 / 6) / 1.5
    assert float(average_precision(*one, database, labels, 3)) == pytest.approx(expected, abs=1e-12)
    # By index the relevant one is last and falls out.
    assert float(average_precision(*one, database, labels, 3, "stable")) == 1.0


def test_ties_at_the_cut_are_independent_of_the_database_order_only_when_expected() -> None:
    query, query_labels, database, labels = ranking(0, 5, 60, 3)
    orders = (database, labels), (database.flip(0), labels.flip(0))
    for ties, equal in zip(TIES, (True, False), strict=True):
        forward, backward = (
            average_precision(query, query_labels, *order, top_k=20, ties=ties)  # type: ignore[arg-type]
            for order in orders
        )
        assert torch.allclose(forward, backward, atol=1e-12) == equal


@pytest.mark.parametrize("ties", ["stable", "expected"])
def test_queries_with_nothing_relevant_score_zero_and_stay_in_the_mean(ties: Ties) -> None:
    database, labels = torch.tensor([[1, 1], [-1, -1]]), torch.tensor([[1, 0], [0, 0]])
    codes = torch.ones(3, 2)
    queries = torch.tensor([[1, 0], [0, 1], [0, 0]])  # found, no partner, no label
    scores = average_precision(codes, queries, database, labels, 2, ties)
    assert scores.tolist() == [1.0, 0.0, 0.0]
    mean = mean_average_precision(codes, queries, database, labels, 2, ties)
    assert mean == pytest.approx(1 / 3)


@pytest.mark.parametrize("ties", ["stable", "expected"])
def test_relevant_items_below_the_cut_are_not_in_the_denominator(ties: Ties) -> None:
    database, labels = torch.tensor([[1, 1], [-1, -1]]), torch.ones(2, 2)
    one = torch.ones(1, 2), torch.ones(1, 2)
    assert float(average_precision(*one, database, labels, 1, ties)) == 1.0


INDICES = torch.tensor([0, 1, 2, 1])
CODES = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]])
LABELS = torch.eye(3)[INDICES]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({0: (CODES + 1) // 2}, "query_codes: 0; codes are −1 and +1"),
        ({2: CODES * 0.5}, "database_codes: 0.5; codes are −1 and +1"),
        ({2: CODES * torch.nan}, "database_codes: nan; codes are −1 and +1"),
        ({2: CODES[0]}, "database_codes: shape (2,); must be codes (N, K)"),
        ({0: CODES[:, :1]}, "query_codes: 1 bit; database_codes has 2"),
        ({1: INDICES}, "query_labels: shape (4,); must be (N, C)"),
        ({1: INDICES[:, None], 3: INDICES[:, None]}, "_labels: shape (4, 1); must be (N, C)"),
        ({3: LABELS * 2}, "database_labels: 2.0; must be 0 or 1; of class indices make"),
        ({3: LABELS * torch.nan}, "database_labels: nan; must be 0 or 1"),
        ({3: LABELS[:3]}, "database_labels: 3 rows; database_codes has 4"),
        ({1: torch.eye(4)}, "labels of 4 and of 3 classes"),
    ],
)
def test_what_is_no_code_or_label_is_refused_in_one_line(
    changes: dict[int, Tensor], expected: str
) -> None:
    good = (CODES, LABELS, CODES, LABELS)
    query, wanted, database, labels = (changes.get(i, part) for i, part in enumerate(good))

    def refused(call: Callable[..., object], *options: Any) -> None:
        assert expected in input_error(lambda: call(query, wanted, database, labels, *options))

    refused(average_precision, 4, "expected")
    refused(average_precision, 4, "stable")
    refused(mean_average_precision, 4)
    refused(distance_histograms)
    if not {0, 2} & set(changes) and "rows" not in expected:
        assert expected in input_error(lambda: chance_average_precision(wanted, labels, 4))


@pytest.mark.parametrize("kind", [torch.uint8, torch.bool, torch.int64, torch.float16])
def test_labels_may_have_any_dtype(kind: torch.dtype) -> None:
    expected = mean_average_precision(CODES, LABELS, CODES, LABELS, 4)
    labels = LABELS.to(kind)
    assert mean_average_precision(CODES.to(torch.int8), labels, CODES, labels, 4) == expected


@pytest.mark.parametrize("top_k", [-1, 0, 31])
def test_a_depth_outside_the_database_is_refused(top_k: int) -> None:
    with pytest.raises(ValueError, match="1 to 30"):
        average_precision(*ranking(0, 2, 30, 5), top_k=top_k)


def test_unknown_ties_are_refused() -> None:
    with pytest.raises(ValueError, match="expected, stable"):
        average_precision(*ranking(0, 2, 30, 5), top_k=3, ties="worst")  # type: ignore[arg-type]


@pytest.mark.parametrize("ties", ["stable", "expected"])
@pytest.mark.parametrize("elements", [1, 100, 250])
def test_blocks_change_nothing(ties: Ties, elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ranking(4, queries=9, items=50, bits=6)
    whole = average_precision(*problem, top_k=17, ties=ties)
    histograms = distance_histograms(*problem)
    monkeypatch.setattr(saat.blocks, "ELEMENTS", elements)
    assert torch.equal(average_precision(*problem, top_k=17, ties=ties), whole)
    for blocked, one in zip(distance_histograms(*problem), histograms, strict=True):
        assert torch.equal(blocked, one)


@pytest.mark.parametrize("ties", ["stable", "expected"])
def test_no_queries_give_no_scores(ties: Ties) -> None:
    query, labels, database, database_labels = ranking(0, 2, 30, 5)
    for none in (query[:0], query[:0, :0]):  # of no images a network gives features of no length
        scores = average_precision(none, labels[:0], database, database_labels, 3, ties)
        assert scores.shape == (0,)


@given(case=problems())
def test_histograms_count_items_at_every_distance(case: tuple[Ranking, int]) -> None:
    problem, _ = case
    total, relevant = distance_histograms(*problem)
    bits = problem[0].shape[1]
    for row, (distances, hits) in enumerate(plain(problem)):
        assert total[row].tolist() == [distances.count(d) for d in range(bits + 1)]
        pairs = list(zip(distances, hits, strict=True))
        assert relevant[row].tolist() == [pairs.count((d, True)) for d in range(bits + 1)]


def test_histograms_are_exact_for_long_codes() -> None:
    problem = ranking(5, queries=3, items=200, bits=1000)
    distance = hamming_distance(problem[0], problem[2])
    total, relevant = distance_histograms(*problem)
    hits = relevance(problem[1], problem[3])
    for row in range(3):
        assert torch.equal(total[row], torch.bincount(distance[row], minlength=1001))
        assert torch.equal(relevant[row], torch.bincount(distance[row][hits[row]], minlength=1001))


@pytest.mark.parametrize("top_k", [1, 3, 6])
def test_chance_is_the_mean_over_all_orders(top_k: int) -> None:
    labels = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1], [0, 0], [0, 1]])
    queries = torch.tensor([[1, 0], [0, 1], [0, 0]])
    orders = list(itertools.permutations(range(6)))
    found = chance_average_precision(queries, labels, top_k)
    for query, chance in zip(queries, found, strict=True):
        hits = [reference.relevant(query.numpy(), label.numpy()) for label in labels]
        expected = reference.average_precision_over_orders(orders, hits, top_k)
        assert float(chance) == pytest.approx(expected, abs=1e-12)


def test_chance_is_what_codes_that_tell_nothing_get() -> None:
    query, query_labels, _, labels = ranking(6, 8, 300, 7)
    same = average_precision(
        query[:1].expand(8, 7), query_labels, query[:1].expand(300, 7), labels, 50
    )
    chance = chance_average_precision(query_labels, labels, 50)
    torch.testing.assert_close(chance, same, rtol=0, atol=1e-12)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(300).tolist() for _ in range(500)]
    hits = relevance(query_labels, labels)[0].tolist()
    drawn = reference.average_precision_over_orders(orders, hits, 50)
    assert float(chance[0]) == pytest.approx(drawn, abs=0.01)


def test_precision_at_equals_the_mean_over_all_orders_of_ties() -> None:
    depths = torch.tensor([1, 2, 4, 7])
    for seed in range(20):
        problem = ranking(seed, queries=2, items=7, bits=2, density=0.4)
        found = precision_at(*problem, depths)
        expected = [
            [reference.expected_precision_at(*query, int(n)) for n in depths]
            for query in plain(problem)
        ]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_closed_form_stays_exact_at_the_size_of_a_published_database() -> None:
    rng = np.random.default_rng(7)
    total = torch.from_numpy(rng.integers(0, 2000, (1, 33)))
    relevant = (total * torch.from_numpy(rng.random((1, 33)))).long()
    distances = [d for d in range(33) for _ in range(int(total[0, d]))]
    hits = [i < int(relevant[0, d]) for d in range(33) for i in range(int(total[0, d]))]
    histograms = saat.retrieval.DistanceHistograms(total, relevant)
    for top_k in (5000, len(distances)):
        found = saat.retrieval.expected_average_precision(histograms, top_k)
        expected = reference.expected_average_precision(distances, hits, top_k)
        assert float(found) == pytest.approx(expected, abs=1e-10)
