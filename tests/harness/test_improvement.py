"""Expected improvements against sums over outcomes, of two and of three objectives."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import norm

from harness.search.samplers.ehvi.improvement import (
    expected_excess,
    expected_hypervolume_improvement,
    non_dominated_boxes,
)
from reports.frontier import hypervolume

Array = np.ndarray
unit = st.floats(0, 1)
objectives = st.integers(2, 3)
# Steps of a tenth too: equal coordinates are where a cut into boxes goes wrong.
coordinate = unit | st.integers(0, 10).map(lambda n: n / 10)
fronts = objectives.flatmap(
    lambda m: st.lists(st.tuples(*[coordinate] * m), max_size=6).map(
        lambda rows: np.array(rows).reshape(-1, m)
    )
)
REFERENCE = np.array([0.1, 0.2, 0.15])


def gain(front: Array, outcome: Array, reference: Array) -> float:
    """Hypervolume that an outcome adds."""
    return hypervolume([*front, outcome], reference) - hypervolume(front, reference)


def plain(mean: Array, deviation: Array, front: Array, reference: Array) -> float:
    """∑ over outcomes: probability · (hypervolume with the outcome − without)."""
    grid, shares = hermegauss(60 if len(mean) == 2 else 16)
    shares = shares / shares.sum()
    total = 0.0
    for places in itertools.product(range(len(grid)), repeat=len(mean)):
        share = float(np.prod(shares[list(places)]))
        if share > 1e-7:
            total += share * gain(front, mean + deviation * grid[list(places)], reference)
    return total


@settings(max_examples=15, deadline=None)
@given(fronts, st.tuples(unit, unit, unit), st.floats(0.02, 0.3), st.floats(0.02, 0.3))
def test_the_closed_form_equals_a_sum_over_outcomes(
    front: Array, mean: tuple[float, ...], first: float, second: float
) -> None:
    m = front.shape[1]
    means, deviations = np.array([mean[:m]]), np.array([[first, second, first][:m]])
    closed = expected_hypervolume_improvement(means, deviations, front, REFERENCE[:m])
    assert closed.shape == (1,)
    # Of three objectives the plain sum has a coarse grid.
    exact = plain(means[0], deviations[0], front, REFERENCE[:m])
    assert closed[0] == pytest.approx(exact, abs=3e-3 if m == 2 else 1e-2)


@given(fronts, st.tuples(unit, unit, unit))
def test_a_certain_point_adds_its_hypervolume(front: Array, point: tuple[float, ...]) -> None:
    m = front.shape[1]
    means, reference = np.array([point[:m]]), REFERENCE[:m]
    closed = expected_hypervolume_improvement(means, np.full((1, m), 1e-9), front, reference)
    assert closed[0] == pytest.approx(gain(front, means[0], reference), abs=1e-7)


@given(fronts, st.tuples(unit, unit, unit))
def test_a_point_lies_in_one_box_unless_the_front_dominates_it(
    front: Array, point: tuple[float, ...]
) -> None:
    m = front.shape[1]
    at = REFERENCE[:m] + 1e-3 + np.array(point[:m])
    lower, upper = non_dominated_boxes(front, REFERENCE[:m])
    inside = ((lower <= at) & (at < upper)).all(axis=1).sum()
    assert inside == (0 if (front > at).all(axis=1).any() else 1)


def test_without_a_front_it_is_a_product_of_expected_excesses() -> None:
    mean, deviation = np.array([[0.5, 0.4, 0.2]]), np.array([[0.1, 0.2, 0.05]])
    z = (mean - 0.3) / deviation
    excess = deviation * (norm.pdf(z) + z * norm.cdf(z))
    assert expected_excess(mean, deviation, np.array(0.3)) == pytest.approx(excess)
    closed = expected_hypervolume_improvement(mean, deviation, np.empty((0, 3)), np.full(3, 0.3))
    assert closed == pytest.approx(excess.prod(axis=1))


def test_equal_and_dominated_points_of_a_front_change_nothing() -> None:
    front = np.array([[0.8, 0.3], [0.5, 0.6]])
    more = np.array([[0.5, 0.6], [0.4, 0.2], [0.8, 0.3], [0.5, 0.6], [0.8, 0.1]])
    mean, deviation = np.array([[0.6, 0.5], [0.9, 0.1]]), np.full((2, 2), 0.1)
    corner = np.zeros(2)
    assert expected_hypervolume_improvement(mean, deviation, more, corner) == pytest.approx(
        expected_hypervolume_improvement(mean, deviation, front, corner)
    )
