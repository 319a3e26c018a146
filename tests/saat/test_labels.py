from collections import Counter

import numpy as np
import pytest
import torch

from saat.labels import LabelGroups, check_labels, draw_target_labels, relevance
from tests import reference
from tests.saat.data.samples import input_error


def random_labels(rows: int, classes: int, seed: int, density: float = 0.3) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.random((rows, classes)) < density).astype(np.uint8))


def test_relevance_is_a_shared_label() -> None:
    a, b = random_labels(8, 5, 0), random_labels(12, 5, 1)
    expected = [[reference.relevant(x, y) for y in b.numpy()] for x in a.numpy()]
    assert relevance(a, b).tolist() == expected
    assert not relevance(torch.zeros(2, 5), torch.ones(3, 5)).any()


INDICES = torch.tensor([0, 3, 1])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (INDICES, "shape (3,); must be (N, C)"),
        (INDICES[:, None], "shape (3, 1); must be (N, C)"),
        (torch.tensor([[0, 3]]), "3; must be 0 or 1"),
        (torch.tensor([[0.5, 1]]), "0.5; must be 0 or 1"),
        (torch.tensor([[-1, 1]]), "-1; must be 0 or 1"),
    ],
)
def test_class_indices_and_other_values_are_refused(labels: torch.Tensor, expected: str) -> None:
    good = torch.eye(2)
    calls = [
        lambda: relevance(labels, good),
        lambda: relevance(good, labels),
        lambda: LabelGroups.of(labels),
        lambda: draw(labels, good),
        lambda: draw(good, labels),
        lambda: check_labels("x", labels.numpy()),
    ]
    for call in calls:
        message = input_error(call)
        assert expected in message
        assert "torch.nn.functional.one_hot" in message


def test_labels_of_other_classes_are_refused() -> None:
    assert "labels of 2 and of 3 classes" in input_error(
        lambda: relevance(torch.eye(2), torch.eye(3))
    )


def test_groups_hold_every_row_once_under_its_own_label() -> None:
    labels = random_labels(50, 4, 2)
    groups = LabelGroups.of(labels)
    assert torch.equal(groups.vectors[groups.index], labels.double())
    assert len(groups.vectors) == len(set(map(tuple, labels.tolist())))
    assert groups.counts.tolist() == torch.bincount(groups.index).double().tolist()


def test_group_sums_add_up_the_rows_of_each_group() -> None:
    labels = torch.tensor([[1, 0], [0, 1], [1, 0]])
    sums = LabelGroups.of(labels).sums(torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]))
    assert sums.tolist() == [[10.0, 20.0], [101.0, 202.0]]
    assert sums.dtype == torch.float64


def draw(queries: torch.Tensor, database: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return draw_target_labels(queries, database, torch.Generator().manual_seed(seed))


def test_targets_are_database_labels_that_share_nothing_with_the_query() -> None:
    queries, database = random_labels(40, 6, 3), random_labels(60, 6, 4)
    targets = draw(queries, database)
    known = set(map(tuple, database.tolist()))
    assert all(tuple(target) in known and sum(target) > 0 for target in targets.tolist())
    assert not relevance(queries, targets).diagonal().any()
    assert torch.equal(targets, draw(queries, database))
    assert not torch.equal(targets, draw(queries, database, seed=1))


def test_targets_are_uniform_over_distinct_labels() -> None:
    database = torch.tensor([[1, 0, 0]] + [[0, 1, 0]] * 50 + [[0, 0, 1]] + [[0, 0, 0]] * 9)
    targets = draw(torch.tensor([[1, 0, 0]]).expand(2000, 3), database)
    counts = Counter(map(tuple, targets.tolist()))
    assert set(counts) == {(0, 1, 0), (0, 0, 1)}
    assert 900 < counts[(0, 1, 0)] < 1100


def test_a_query_that_shares_a_label_with_everything_has_no_target() -> None:
    targets = draw(torch.tensor([[1, 1], [1, 0]]), torch.tensor([[1, 0], [0, 1]]))
    assert targets.tolist() == [[0, 0], [0, 1]]
