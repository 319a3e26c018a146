"""The prior over a space: its density, draws from it, and what it does to suggestions."""

import math
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.distributions import IntDistribution as Int
from scipy.stats import kstest

from harness.search.samplers.context import Guess
from harness.search.samplers.ehvi.encoding import SpaceEncoding
from harness.search.samplers.ehvi.prior import Prior

SPACE: dict[str, BaseDistribution] = {
    "lambda": FloatDistribution(0.1, 10.0, log=True),
    "hashing": CategoricalDistribution(("dph", "csq", "dpn")),
    "bits": CategoricalDistribution((16, 32)),
    "steps": Int(1, 10),
    "mu": FloatDistribution(0.0, 1.0),
}
GUESSES = {
    "lambda": Guess(1.0, 0.5),
    "hashing": Guess("csq", 0.4),
    "bits": Guess(32, 1.0),
    "steps": Guess(3, 0.7),
}


def drawn(guesses: dict[str, Guess], count: int = 4096) -> np.ndarray:
    """Positions of draws."""
    shares = np.random.default_rng(0).random((count, len(SPACE)))
    return Prior(SPACE, guesses).quantiles(shares)


def test_draws_follow_the_density() -> None:
    """The share of draws in each twentieth of a range is what the density says."""
    prior, positions = Prior(SPACE, GUESSES), drawn(GUESSES)
    grid = (np.arange(2000) + 0.5) / 2000
    for i in range(len(SPACE)):
        rows = np.full((2000, len(SPACE)), np.nan)
        rows[:, i] = grid
        density = np.exp(prior.log_density(rows))
        shares = density.reshape(20, 100).sum(axis=1) / density.sum()
        counts = np.histogram(positions[:, i], bins=20, range=(0, 1))[0] / len(positions)
        assert counts == pytest.approx(shares, abs=0.02)


def test_the_confidence_is_the_share_of_draws_that_are_not_uniform() -> None:
    encoding = SpaceEncoding(SPACE)
    points = [encoding.decode(row) for row in drawn(GUESSES)]

    def share(key: str, value: Any) -> float:
        return float(np.mean([point[key] == value for point in points]))

    assert share("hashing", "csq") == pytest.approx(0.4 + 0.6 / 3, abs=0.03)
    assert 0.9 < share("bits", 32) < 1  # nobody is that sure: 16 stays possible
    logs = np.log10([point["lambda"] for point in points])
    assert np.mean(np.abs(logs) > 0.6) == pytest.approx(0.5 * 0.4, abs=0.05)
    assert kstest([point["mu"] for point in points], "uniform").pvalue > 1e-3


def test_the_density_is_largest_where_all_guesses_hold() -> None:
    prior, encoding = Prior(SPACE, GUESSES), SpaceEncoding(SPACE)
    best = {key: guess.value for key, guess in GUESSES.items()} | {"mu": 0.2}
    wrong = best | {"hashing": "dpn"}
    far = wrong | {"lambda": 10.0}
    lacking = {"hashing": "csq", "mu": 0.9}
    logs = prior.log_density(encoding.positions([best, wrong, far, lacking]))
    assert logs[0] == pytest.approx(0, abs=0.02)
    assert logs[1] == pytest.approx(logs[0] + math.log(0.2 / 0.6))
    assert logs[2] < logs[1] - 0.5
    assert logs[3] == 0


@pytest.mark.parametrize(
    "guess",
    [Guess("csq", 0.5), Guess("auto", 0.5), Guess(1e90, 0.5)],
    ids=["another key's", "a word", "far outside"],
)
def test_a_guess_that_is_no_value_of_the_space_says_little(guess: Guess) -> None:
    """It never makes a density that is not finite."""
    prior = Prior(SPACE, {"lambda": guess, "unknown": Guess(1, 0.5), "bits": Guess(64, 0.5)})
    positions = prior.quantiles(np.random.default_rng(0).random((100, len(SPACE))))
    assert ((positions >= 0) & (positions <= 1)).all()
    assert np.isfinite(prior.log_density(positions)).all()


def test_without_guesses_draws_are_uniform() -> None:
    shares = np.random.default_rng(1).random((50, len(SPACE)))
    prior = Prior(SPACE, {})
    assert (prior.quantiles(shares) == shares).all()
    assert (prior.log_density(shares) == 0).all()
