"""Intervals and the one comparison."""

import numpy as np
import pytest
import torch
from scipy import stats

from reports import statistics
from reports.statistics import (
    compare_paired,
    seed_query_interval,
    seed_summary,
)
from saat.bootstrap import bootstrap_interval
from tests import reference


def test_band_over_seeds_and_queries_covers_both_spreads():
    rng = np.random.default_rng(1)
    difficulty = rng.normal(0, 0.2, 100)
    seeds = np.array([-0.05, 0.0, 0.05])
    both = seed_query_interval(0.5 + seeds[:, None] + difficulty)
    queries_alone = seed_query_interval(0.5 + np.zeros((3, 1)) + difficulty)
    seeds_alone = seed_query_interval(0.5 + seeds[:, None] + np.zeros(100))
    assert seeds_alone.high - seeds_alone.low > 0.03
    assert both.high - both.low > queries_alone.high - queries_alone.low


def test_band_does_not_average_the_difficulty_of_queries_away():
    """With identical seeds there is no more information than in one."""
    difficulty = np.random.default_rng(2).normal(0.5, 0.2, 100)
    one = bootstrap_interval(torch.from_numpy(difficulty))
    five = seed_query_interval(np.tile(difficulty, (5, 1)))
    assert five.high - five.low == pytest.approx(one.high - one.low, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 1), (2, 5), (4, 9)])
def test_band_is_the_plain_formula(monkeypatch, shape):
    # Parts of a number that does not divide them.
    monkeypatch.setattr(statistics, "RESAMPLES", 110)
    monkeypatch.setattr(statistics, "AT_ONCE", 25)
    table = np.random.default_rng(5).beta(2, 2, shape)
    interval = seed_query_interval(table)
    plain = reference.pigeonhole_interval(table, 0.95, 0, 110)
    assert interval == pytest.approx((table.mean(), *plain), rel=1e-12)


def test_band_of_another_shape_has_its_own_resamples():
    table = np.random.default_rng(6).beta(2, 2, (3, 40))
    first = seed_query_interval(table)
    assert seed_query_interval(table[:, :39]) != first
    assert seed_query_interval(table) == first


def test_band_of_equal_values_is_the_point_and_of_nothing_is_missing():
    assert tuple(seed_query_interval(np.full((3, 11), 0.3))) == pytest.approx((0.3, 0.3, 0.3))
    assert np.isnan(seed_query_interval(np.zeros((0, 4)))).all()


def test_seed_summary():
    summary = seed_summary([0.1, 0.2, 0.3, np.nan])
    assert tuple(summary) == pytest.approx((0.2, 0.1, 3))
    assert np.isnan(seed_summary([0.1]).std)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_seeds_never_become_significant(n):
    a = np.linspace(0.8, 0.81, n)
    result = compare_paired(a, a - 0.5)
    assert "too few for a claim of significance (6 needed)" in result.verdict
    assert result.mean == pytest.approx(0.5)


def test_three_seeds_read_as_agreed():
    verdict = compare_paired([1, 2, 3], [0, 0, 0]).verdict
    assert verdict == "3 seeds are too few for a claim of significance (6 needed)"


def test_six_seeds_are_the_paired_t_test():
    rng = np.random.default_rng(3)
    b = rng.normal(0.5, 0.1, 6)
    a = b + rng.normal(0.05, 0.01, 6)
    result = compare_paired(a, b)
    expected = stats.ttest_rel(a, b)
    assert result.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.verdict.startswith("significant (paired t-test, 6 seeds")


def test_more_comparisons_need_a_smaller_p():
    a, b = np.array([3.0, 1.0, 2.0, 4.0, -0.2, 1.0]), np.zeros(6)
    p = compare_paired(a, b).p_value
    assert 0.05 / 4 < p < 0.05
    assert compare_paired(a, b).verdict.startswith("significant")
    assert compare_paired(a, b, comparisons=4).verdict.startswith("not significant")


def test_equal_results_are_not_significant():
    assert compare_paired([0.5] * 6, [0.5] * 6).verdict.startswith("not significant")
