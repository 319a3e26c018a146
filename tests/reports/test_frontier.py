"""Fronts and hypervolume against plain loops."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reports.explored import hypervolume_over_cost
from reports.frontier import (
    additive_gap,
    epsilon_net_order,
    hypervolume,
    pareto_mask,
    pareto_ranks,
    select_by_hypervolume,
)
from reports.results import load_search
from tests.reports.synthetic import write_run

# Few distinct values: ties, duplicates and dominated points are common.
Points = NDArray[np.float64]
GRID = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5]


def points(objectives: int) -> st.SearchStrategy[Points]:
    value = st.sampled_from([*GRID, float("nan")])
    row = st.lists(value, min_size=objectives, max_size=objectives)
    return st.lists(row, max_size=9).map(
        lambda rows: np.array(rows, dtype=float).reshape(-1, objectives)
    )


two_or_three = st.one_of(points(2), points(3))


def dominates(a: Points, b: Points) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(
        x > y for x, y in zip(a, b, strict=True)
    )


def plain_ranks(values: Points) -> list[int]:
    left = {i for i, row in enumerate(values) if not np.isnan(row).any()}
    ranks: dict[int, int] = {}
    rank = 0
    while left:
        front = {i for i in left if not any(dominates(values[j], values[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left -= front
        rank += 1
    worst = max(rank, 1)
    return [ranks.get(i, worst) for i in range(len(values))]


@given(two_or_three)
def test_the_gap_is_what_a_point_lacks_to_be_on_the_front(values):
    """Raised by a little more than the gap it is on the front; by a little less it is not."""
    gaps = additive_gap(values)
    for row, gap in zip(values, gaps, strict=True):
        if np.isnan(row).any():
            assert gap == np.inf
            continue
        others = [other for other in values if not np.isnan(other).any()]
        assert not any(all(other > row + gap + 1e-9) for other in others)
        assert gap == 0 or any(all(other > row + gap - 1e-9) for other in others)


def plain_hypervolume(values: Points, reference: Sequence[float]) -> float:
    """Count grid cells: every coordinate is on the grid, so a cell is covered or it is not."""
    axes = [sorted({r, *GRID}) for r in reference]
    usable = [row for row in values if not np.isnan(row).any()]
    total = 0.0
    for cell in itertools.product(*(itertools.pairwise(a) for a in axes)):
        inside = all(low >= r for (low, _), r in zip(cell, reference, strict=True))
        covered = any(
            all(v >= high for v, (_, high) in zip(row, cell, strict=True)) for row in usable
        )
        if inside and covered:
            total += math.prod(high - low for low, high in cell)
    return total


@given(two_or_three)
def test_ranks_equal_plain_non_dominated_sorting(values):
    assert pareto_ranks(values).tolist() == plain_ranks(values)
    assert pareto_mask(values).tolist() == [rank == 0 for rank in plain_ranks(values)]


@given(two_or_three, st.sampled_from([0.0, 0.25, 0.5]))
def test_hypervolume_equals_counted_cells(values, corner):
    reference = [corner] * values.shape[1]
    assert hypervolume(values, reference) == pytest.approx(plain_hypervolume(values, reference))


@given(points(2), st.integers(0, 4))
def test_selection_is_greedy_on_distinct_front_points(values, k):
    chosen = select_by_hypervolume(values, k).tolist()
    front = {tuple(row) for row, keep in zip(values, pareto_mask(values), strict=True) if keep}
    assert len(chosen) == min(k, len(front))
    assert {tuple(values[i]) for i in chosen} <= front
    assert len({tuple(values[i]) for i in chosen}) == len(chosen)
    for step, index in enumerate(chosen):
        before = values[chosen[:step]].reshape(-1, 2)
        gains = [
            plain_hypervolume(np.vstack([before, row]), (0, 0)) if tuple(row) in front else -1
            for row in values
        ]
        taken = {tuple(values[i]) for i in chosen[:step]}
        open_gains = [
            -1 if tuple(row) in taken else g for row, g in zip(values, gains, strict=True)
        ]
        assert gains[index] == pytest.approx(max(open_gains))
        assert index == next(
            i for i, g in enumerate(open_gains) if g == pytest.approx(max(open_gains))
        )


@given(two_or_three)
def test_epsilon_net_takes_the_farthest_point_next(values):
    order = epsilon_net_order(values).tolist()
    assert sorted(order) == list(range(len(values)))
    usable = [i for i in range(len(values)) if not np.isnan(values[i]).any()]
    assert set(order[: len(usable)]) == set(usable)
    if not usable:
        return
    kept = values[usable]
    span = np.where(np.ptp(kept, axis=0) == 0, 1, np.ptp(kept, axis=0))
    scaled = {i: (values[i] - kept.min(axis=0)) / span for i in usable}
    assert values[order[0], 0] == kept[:, 0].max()
    for step in range(1, len(usable)):
        gaps = {
            i: min(np.linalg.norm(scaled[i] - scaled[j]) for j in order[:step])
            for i in usable
            if i not in order[:step]
        }
        assert gaps[order[step]] == pytest.approx(max(gaps.values()))


def test_nothing_and_one_point():
    assert hypervolume([]) == 0.0
    assert hypervolume([[0.5, 0.5]]) == 0.25
    assert hypervolume([[np.nan, 0.5]]) == 0.0
    assert pareto_ranks(np.empty((0, 2))).tolist() == []
    assert pareto_ranks([[np.nan, 1.0]]).tolist() == [1]
    assert select_by_hypervolume(np.empty((0, 2)), 3).tolist() == []
    assert epsilon_net_order(np.empty((0, 2))).tolist() == []


def test_equal_points_share_a_rank_and_the_lowest_index_is_chosen():
    values = [[0.5, 0.5], [0.5, 0.5], [0.4, 0.4]]
    assert pareto_ranks(values).tolist() == [0, 0, 1]
    assert select_by_hypervolume(values, 3).tolist() == [0]


def test_hypervolume_over_cost_counts_the_cost_of_every_trial(tmp_path):
    results = load_search(write_run(tmp_path / "run"))
    curve = hypervolume_over_cost(results)
    explore = results.explore
    assert len(curve.cost_s) == len(explore) == 12
    assert curve.cost_s[-1] == pytest.approx(explore["cost_s"].sum())
    assert (np.diff(curve.hypervolume) >= 0).all()
    final = explore.loc[
        explore["status"] == "completed",
        ["metric.reattack/clean_map", "metric.reattack/robust_map"],
    ]
    assert curve.hypervolume[-1] == pytest.approx(hypervolume(final.to_numpy(float)))


def test_hypervolume_over_cost_follows_the_order_of_finishing(tmp_path):
    results = load_search(write_run(tmp_path / "run"))
    by_finish = results.explore.sort_values("finished_at")
    assert by_finish["number"].tolist() != results.explore["number"].tolist()
    np.testing.assert_allclose(
        hypervolume_over_cost(results).cost_s, by_finish["cost_s"].cumsum().to_numpy(float)
    )


def test_hypervolume_over_cost_ignores_values_of_trials_that_did_not_complete(tmp_path):
    results = load_search(write_run(tmp_path / "run"))
    trials = results.trials.copy()
    stopped = trials["status"] == "stopped"
    trials.loc[stopped, ["metric.reattack/clean_map", "metric.reattack/robust_map"]] = 0.99
    before = hypervolume_over_cost(results).hypervolume
    after = hypervolume_over_cost(replace(results, trials=trials)).hypervolume
    np.testing.assert_array_equal(before, after)
