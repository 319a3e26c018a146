"""Expected hypervolume improvement against sums over a grid of outcomes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import norm

from harness.search.samplers.ehvi.improvement import expected_hypervolume_improvement
from reports.frontier import hypervolume

Array = np.ndarray
unit = st.floats(0, 1)
fronts = st.lists(st.tuples(unit, unit), max_size=6).map(lambda rows: np.array(rows).reshape(-1, 2))
GRID, SHARES = hermegauss(60)
SHARES = SHARES / SHARES.sum()


def plain(mean: Array, deviation: Array, front: Array, reference: Array) -> float:
    """∑ over outcomes: probability · (hypervolume with the outcome − without)."""
    before = hypervolume(front, reference)
    total = 0.0
    for z1, share1 in zip(GRID, SHARES, strict=True):
        for z2, share2 in zip(GRID, SHARES, strict=True):
            if share1 * share2 < 1e-9:
                continue
            outcome = mean + deviation * np.array([z1, z2])
            total += share1 * share2 * (hypervolume([*front, outcome], reference) - before)
    return total


@settings(max_examples=15, deadline=None)
@given(fronts, st.tuples(unit, unit), st.floats(0.02, 0.3), st.floats(0.02, 0.3))
def test_the_closed_form_equals_a_sum_over_outcomes(
    front: Array, mean: tuple[float, float], first: float, second: float
) -> None:
    reference = np.array([0.1, 0.2])
    means, deviations = np.array([mean]), np.array([[first, second]])
    closed = expected_hypervolume_improvement(means, deviations, front, reference)
    assert closed.shape == (1,)
    assert closed[0] == pytest.approx(plain(means[0], deviations[0], front, reference), abs=3e-3)


@given(fronts, st.tuples(unit, unit))
def test_a_certain_point_adds_its_hypervolume(front: Array, point: tuple[float, float]) -> None:
    reference = np.array([0.25, 0.3])
    means = np.array([point])
    closed = expected_hypervolume_improvement(means, np.full((1, 2), 1e-9), front, reference)
    gain = hypervolume([*front, point], reference) - hypervolume(front, reference)
    assert closed[0] == pytest.approx(gain, abs=1e-7)


def test_without_a_front_it_is_a_product_of_expected_excesses() -> None:
    mean, deviation = np.array([[0.5, 0.4]]), np.array([[0.1, 0.2]])
    z = (mean - 0.3) / deviation
    excess = deviation * (norm.pdf(z) + z * norm.cdf(z))
    closed = expected_hypervolume_improvement(
        mean, deviation, np.empty((0, 2)), np.array([0.3, 0.3])
    )
    assert closed == pytest.approx(excess.prod(axis=1))


def test_equal_and_dominated_points_of_a_front_change_nothing() -> None:
    front = np.array([[0.8, 0.3], [0.5, 0.6]])
    more = np.array([[0.5, 0.6], [0.4, 0.2], [0.8, 0.3], [0.5, 0.6], [0.8, 0.1]])
    mean, deviation = np.array([[0.6, 0.5], [0.9, 0.1]]), np.full((2, 2), 0.1)
    corner = np.zeros(2)
    assert expected_hypervolume_improvement(mean, deviation, more, corner) == pytest.approx(
        expected_hypervolume_improvement(mean, deviation, front, corner)
    )
