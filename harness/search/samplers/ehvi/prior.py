"""A prior over a search space: guesses of good values, and how sure they are."""

from collections.abc import Mapping

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from scipy.special import ndtr

from harness.search.samplers.context import Guess
from harness.search.samplers.ehvi.encoding import Array, Axis

_WIDTH = 0.15  # standard deviation of a good value around the guess, as a share of the range
_CELLS = 256  # of a parameter that is no choice
_MOST = 0.95  # confidence that counts: every value stays possible


class _Density:
    """A density over the interval [0, 1) of a parameter, constant in each of its cells."""

    def __init__(self, masses: Array) -> None:
        self._relative = masses / masses.max()
        self._edges = np.linspace(0.0, 1.0, len(masses) + 1)
        self._cumulative = np.concatenate([[0.0], np.cumsum(masses / masses.sum())])

    def log(self, positions: Array) -> Array:
        """Logarithm (n,) of the density as a share of its largest value, at positions (n,)."""
        cells = np.clip(positions * len(self._relative), 0, len(self._relative) - 1)
        return np.asarray(np.log(self._relative[cells.astype(np.int64)]))

    def quantiles(self, shares: Array) -> Array:
        """The positions (n,) below which these shares of the mass lie."""
        return np.interp(shares, self._cumulative, self._edges)


class Prior:
    """Independent densities of the parameters that have a guess.

    A number is uniform with probability 1 − confidence, and otherwise normal around its guess. A
    choice is the guess with the confidence as probability, and otherwise any of the choices. So a
    wrong guess makes no value impossible.

    Args:
        space: parameters and their distributions, in the order of positions.
        guesses: by parameter; those that are not in the space, or no value of it, say nothing.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], guesses: Mapping[str, Guess]) -> None:
        densities = [
            _density(distribution, guesses[key]) if key in guesses else None
            for key, distribution in space.items()
        ]
        self._densities = {i: one for i, one in enumerate(densities) if one is not None}

    def log_density(self, positions: Array) -> Array:
        """(n,) at positions (n, k): 0 where all guesses hold, else less; NaN positions add 0."""
        total = np.zeros(len(positions))
        for i, density in self._densities.items():
            column = positions[:, i]
            missing = np.isnan(column)
            total += np.where(missing, 0.0, density.log(np.where(missing, 0.0, column)))
        return total

    def quantiles(self, shares: Array) -> Array:
        """Positions (n, k) of draws from the prior, of (n, k) that are uniform in [0, 1)."""
        positions = shares.copy()
        for i, density in self._densities.items():
            positions[:, i] = density.quantiles(shares[:, i])
        return positions


def _density(distribution: BaseDistribution, guess: Guess) -> _Density | None:
    confidence = min(guess.confidence, _MOST)
    if isinstance(distribution, CategoricalDistribution):
        if guess.value not in distribution.choices:
            return None
        masses = np.full(len(distribution.choices), (1 - confidence) / len(distribution.choices))
        masses[distribution.choices.index(guess.value)] += confidence
        return _Density(masses)
    if not isinstance(guess.value, int | float):
        return None
    edges = (np.linspace(0, 1, _CELLS + 1) - Axis(distribution).position(guess.value)) / _WIDTH
    near = np.diff(ndtr(edges))
    if near.sum() <= 0:  # a guess far outside
        return None
    return _Density((1 - confidence) / _CELLS + confidence * near / near.sum())
