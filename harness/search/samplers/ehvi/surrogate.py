"""A Gaussian process for few trials, a dozen or more: scikit-learn's, with priors.

Maximum likelihood alone overfits so few points. Log-normal priors keep the hyperparameters in the
range that is usual for positions in [0, 1] and standardised objectives.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

Array = NDArray[np.float64]

_VARIANCE, _LENGTH, _NOISE = 1.0, 0.5, 0.02  # medians of the priors; one e-fold is one deviation


class _WithPriors(GaussianProcessRegressor):  # type: ignore[misc]
    """Hyperparameters of the largest posterior instead of the largest likelihood."""

    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """The likelihood and the priors' log density, as scikit-learn maximises it."""
        value = super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        if theta is None:
            return value
        offset = theta - np.log([_VARIANCE, *[_LENGTH] * (len(theta) - 2), _NOISE])
        penalty = 0.5 * float(offset @ offset)
        if eval_gradient:
            return value[0] - penalty, value[1] - offset
        return value - penalty


class Surrogate:
    """One objective as a function of the position in the space.

    Args:
        positions: (n, d) positions, n ≥ 1.
        values: (n,) of the objective.
        variances: (n,) of the known noise of each value, in its units squared. The noise of
            training is estimated and comes on top.
    """

    def __init__(self, positions: Array, values: Array, variances: Array) -> None:
        self._mean = float(values.mean())
        self._scale = float(values.std()) or 1.0
        self._positions, self._values, self._variances = positions, values, variances
        kernel = ConstantKernel(_VARIANCE, (0.05, 20)) * Matern(
            np.full(positions.shape[1], _LENGTH), (0.05, 20), nu=2.5
        ) + WhiteKernel(_NOISE, (3e-4, 3))
        self._process = self._fit(kernel, optimise=True)

    def predict(self, positions: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (n,) of the objective of trials at ``positions`` (n, d).

        The deviation includes the noise of training.
        """
        mean, deviation = self._process.predict(positions, return_std=True)
        return mean * self._scale + self._mean, deviation * self._scale

    def condition_on(self, positions: Array) -> None:
        """Add running trials at ``positions`` (n, d), with their predictions as values.

        So the next suggestion goes elsewhere (the kriging believer: Ginsbourger et al. 2010).
        """
        predicted, _ = self.predict(positions)
        self._positions = np.vstack([self._positions, positions])
        self._values = np.concatenate([self._values, predicted])
        self._variances = np.concatenate([self._variances, np.zeros(len(positions))])
        self._process = self._fit(self._process.kernel_, optimise=False)

    def _fit(self, kernel: Kernel, optimise: bool) -> _WithPriors:
        optimizer = "fmin_l_bfgs_b" if optimise else None
        alpha = self._variances / self._scale**2 + 1e-8
        process = _WithPriors(kernel, alpha=alpha, optimizer=optimizer)
        with warnings.catch_warnings():
            # A hyperparameter at its bound is no error; flat objectives cause it, for example.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(self._positions, (self._values - self._mean) / self._scale)
        return process
