"""A Gaussian process with priors and noise of its own for every value."""

import warnings

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from harness.search.samplers.ehvi.surrogate import (
    DoubtKernel,
    GroupedMatern,
    ProcessWithPriors,
    Surrogate,
)

RNG = np.random.default_rng(0)
PLACES = RNG.random((24, 3))
VALUES = np.sin(3 * PLACES[:, 0]) + 0.3 * PLACES[:, 1]
NONE = np.zeros(24)


def test_the_gradient_belongs_to_the_posterior() -> None:
    smooth = ConstantKernel(1.0) * Matern(np.full(3, 0.5), nu=2.5)
    kernel = smooth + DoubtKernel(variances=tuple(RNG.random(24))) + WhiteKernel(0.02)
    process = ProcessWithPriors(kernel, optimizer=None).fit(PLACES, VALUES)
    theta = np.log([0.7, 0.4, 0.9, 1.3, 0.3, 0.05])
    gap = check_grad(
        lambda t: process.log_marginal_likelihood(t),
        lambda t: process.log_marginal_likelihood(t, eval_gradient=True)[1],
        theta,
    )
    assert gap < 1e-3
    plain = super(ProcessWithPriors, process).log_marginal_likelihood(theta)
    offset = (theta - np.log([1, 0.5, 0.5, 0.5, 1, 0.01])) / [1, 1, 1, 1, 2, 3]
    assert process.log_marginal_likelihood(theta) == pytest.approx(plain - offset @ offset / 2)


def test_the_columns_of_one_parameter_share_a_length() -> None:
    """The kernel and its gradient, beside Matérn 5/2 on columns divided by their lengths."""
    parameters = (0, 1, 1, 2)
    columns, lengths = RNG.random((7, 4)), np.array([0.4, 1.3, 0.8])
    kernel = GroupedMatern(lengths, (0.05, 20), parameters)
    plain = Matern(1.0, nu=2.5)(columns / lengths[[0, 1, 1, 2]])
    value, gradient = kernel(columns, eval_gradient=True)
    assert value == pytest.approx(plain)
    assert kernel(columns[:2], columns) == pytest.approx(plain[:2])
    assert gradient.shape == (7, 7, 3)
    for i in range(3):
        step = 1e-6 * np.eye(3)[i]
        up, down = (kernel.clone_with_theta(kernel.theta + sign * step) for sign in (1, -1))
        assert gradient[:, :, i] == pytest.approx((up(columns) - down(columns)) / 2e-6, abs=1e-6)


def test_two_different_words_are_equally_far_apart() -> None:
    """And a parameter of five words has one relevance, which few values can tell."""
    words = np.repeat(np.eye(5) / 2, 4, axis=0)
    numbers = np.tile(np.linspace(0, 1, 4), 5)[:, None]
    columns = np.hstack([words, numbers])
    values = np.repeat([0.1, 0.9, 0.4, 0.2, 0.6], 4)  # the number does nothing
    surrogate = Surrogate(columns, values, np.zeros(20), None, np.array([0] * 5 + [1]))
    lengths = surrogate.process.kernel_.k1.k1.k2.length_scale
    assert lengths.shape == (2,)
    assert lengths[1] > 3 * lengths[0]


def test_it_predicts_a_smooth_function() -> None:
    surrogate = Surrogate(PLACES, VALUES, NONE)
    places = np.random.default_rng(1).random((40, 3))
    mean, deviation = surrogate.predict(places)
    truth = np.sin(3 * places[:, 0]) + 0.3 * places[:, 1]
    assert np.abs(mean - truth).max() < 0.25
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.25 * VALUES.std()
    assert (deviation > 0).all()


def test_predictions_are_in_the_units_of_the_values() -> None:
    places = np.random.default_rng(2).random((10, 3))
    noise = np.full(24, 0.01)
    mean, deviation = Surrogate(PLACES, VALUES, noise).predict(places)
    scaled = Surrogate(PLACES, 5 * VALUES + 2, 25 * noise).predict(places)
    assert scaled[0] == pytest.approx(5 * mean + 2, rel=1e-4)
    assert scaled[1] == pytest.approx(5 * deviation, rel=1e-4)


def test_the_deviation_is_that_of_the_function_and_not_of_a_training() -> None:
    """With many noisy values in one place the mean there is known, and the noise does not count."""
    rng = np.random.default_rng(4)
    places = np.repeat([[0.2], [0.8]], 60, axis=0)
    values = np.repeat([0.0, 1.0], 60) + 0.3 * rng.standard_normal(120)
    _, deviation = Surrogate(places, values, np.zeros(120)).predict(places[[0, 60]])
    assert (deviation < 0.08).all()


def test_values_without_noise_are_met() -> None:
    values = np.sin(5 * PLACES[:, 0]) + PLACES[:, 1] ** 2
    mean, deviation = Surrogate(PLACES, values, NONE).predict(PLACES)
    assert mean == pytest.approx(values, abs=5e-3)
    assert (deviation < 0.02).all()


def test_a_value_known_to_be_noisy_counts_for_little() -> None:
    wrong = VALUES.copy()
    wrong[3] += 2
    noise = NONE.copy()
    noise[3] = 4.0
    trusted, _ = Surrogate(PLACES, wrong, NONE).predict(PLACES[3:4])
    doubted, _ = Surrogate(PLACES, wrong, noise).predict(PLACES[3:4])
    assert abs(doubted[0] - VALUES[3]) < 0.3 < abs(trusted[0] - VALUES[3])


def test_a_doubt_counts_where_a_value_contradicts_the_others() -> None:
    """Ten doubted values on the smooth function are believed; ten far off it are not."""
    doubts = np.where(np.arange(24) < 10, 4.0, 0.0)
    places = np.random.default_rng(1).random((40, 3))
    truth = np.sin(3 * places[:, 0]) + 0.3 * places[:, 1]

    def error(values: np.ndarray, doubts: np.ndarray) -> float:
        mean, _ = Surrogate(PLACES, values, NONE, doubts).predict(places)
        return float(np.sqrt(np.mean((mean - truth) ** 2)))

    ignored, _ = Surrogate(PLACES, VALUES, doubts).predict(places)
    assert error(VALUES, doubts) < 0.7 * np.sqrt(np.mean((ignored - truth) ** 2))
    wrong = VALUES + np.where(doubts > 0, RNG.choice([-2.0, 2.0], 24), 0.0)
    assert error(wrong, doubts) < 0.5 * error(wrong, NONE)


def test_a_believed_place_keeps_its_mean_and_is_less_uncertain() -> None:
    surrogate = Surrogate(PLACES, VALUES, NONE)
    place = np.array([[0.98, 0.02, 0.97]])
    before, doubt = surrogate.predict(place)
    surrogate.condition_on(place)
    after, less = surrogate.predict(place)
    assert after == pytest.approx(before, abs=1e-6)
    assert less[0] < doubt[0]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_or_equal_values_are_no_error(count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surrogate = Surrogate(PLACES[:count], np.full(count, 0.5), np.zeros(count))
    mean, deviation = surrogate.predict(PLACES)
    assert mean == pytest.approx(np.full(24, 0.5))
    assert np.isfinite(deviation).all()


def test_an_average_is_that_of_the_posterior() -> None:
    """Mean and deviation of the mean over five positions, from the posterior's covariance."""
    noise = np.full(24, 0.01)
    found = Surrogate(PLACES, 5 * VALUES + 2, 25 * noise)
    places = RNG.random((5, 3))
    mean, deviation = found.average(places)
    assert mean == pytest.approx(found.predict(places)[0].mean())
    smooth, kernel = found.process.kernel_.k1.k1, found.process.kernel_
    scale = np.std(5 * VALUES + 2)
    observed = kernel(PLACES) + np.diag(25 * noise / scale**2 + 1e-8)
    cross = smooth(places, PLACES)
    covariance = smooth(places) - cross @ np.linalg.solve(observed, cross.T)
    assert deviation == pytest.approx(scale * np.sqrt(covariance.mean()), rel=1e-6)
    # Errors are correlated, but not entirely: an average is better known than its parts.
    assert deviation < found.predict(places)[1].mean()


def test_an_average_over_one_position_is_its_prediction() -> None:
    found = Surrogate(PLACES, VALUES, np.full(24, 0.01))
    place = np.array([[0.3, 0.9, 0.1]])
    assert found.average(place) == pytest.approx([part.item() for part in found.predict(place)])
