"""A Gaussian process for few trials, a dozen or more: scikit-learn's, with priors.

Maximum likelihood alone overfits so few points. Log-normal priors keep the hyperparameters in the
range that is usual for positions in [0, 1] and standardised objectives.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    Hyperparameter,
    Kernel,
    Matern,
    WhiteKernel,
)

Array = NDArray[np.float64]

_VARIANCE, _LENGTH, _SHARE, _NOISE = 1.0, 0.5, 1.0, 0.01  # medians of the priors
# One deviation of the priors, in e-folds. The noise may be anything: some objectives have none.
_WIDTH, _SHARE_WIDTH, _NOISE_WIDTH = 1.0, 2.0, 3.0


class GroupedMatern(Matern):  # type: ignore[misc]
    """Matérn 5/2 with a length scale for every parameter, which may have several columns.

    So a parameter of words, one column each, has one relevance: two different words are equally far
    apart (the Hamming distance).

    Args:
        length_scale: (p,) of the parameters.
        length_scale_bounds: (lowest, highest) of each.
        parameters: (d,) numbers of the parameters that the columns belong to, ascending.
    """

    def __init__(
        self,
        length_scale: Any = (1.0,),
        length_scale_bounds: Any = (1e-5, 1e5),
        parameters: tuple[int, ...] = (0,),
    ) -> None:
        super().__init__(length_scale, length_scale_bounds, nu=2.5)
        self.parameters = parameters

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """The kernel (n, k), and its gradient (n, n, p) by the logarithms of the lengths."""
        of_column = np.asarray(self.parameters)
        columns = Matern(np.atleast_1d(self.length_scale)[of_column], "fixed", nu=2.5)
        if not eval_gradient:
            return columns(X, Y)
        # Of a product of functions of the columns' lengths, the derivatives add up.
        columns.length_scale_bounds = self.length_scale_bounds
        value, gradient = columns(X, Y, eval_gradient=True)
        starts = np.flatnonzero(np.diff(of_column, prepend=-1))
        return value, np.add.reduceat(gradient, starts, axis=2)


class DoubtKernel(Kernel):  # type: ignore[misc]
    """Noise of every value that was learned from, all times one fitted share.

    Args:
        share: of the variances.
        share_bounds: (lowest, highest).
        variances: (n,) of the values, in their order.
    """

    def __init__(
        self,
        share: float = _SHARE,
        share_bounds: tuple[float, float] = (1e-5, 1.0),
        variances: tuple[float, ...] = (),
    ) -> None:
        self.share, self.share_bounds, self.variances = share, share_bounds, variances

    @property
    def hyperparameter_share(self) -> Hyperparameter:
        """As scikit-learn finds it."""
        return Hyperparameter("share", "numeric", self.share_bounds)

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """The kernel (n, k), and its gradient (n, n, 1) by the logarithm of the share."""
        if Y is not None:
            return np.zeros((len(X), len(Y)))
        value = np.diag(self.share * np.asarray(self.variances))
        return (value, value[..., None].copy()) if eval_gradient else value

    def diag(self, X: Any) -> Array:
        """Zeros (n,): a value that is predicted has no such noise."""
        return np.zeros(len(X))

    def is_stationary(self) -> bool:
        """No: it belongs to the values, not to where they are."""
        return False


class ProcessWithPriors(GaussianProcessRegressor):  # type: ignore[misc]
    """Hyperparameters of the largest posterior instead of the largest likelihood."""

    def log_marginal_likelihood(
        self, theta: Any = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """The likelihood and the priors' log density, as scikit-learn maximises it."""
        value = super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        if theta is None:
            return value
        lengths = len(theta) - 3
        widths = np.array([_WIDTH, *[_WIDTH] * lengths, _SHARE_WIDTH, _NOISE_WIDTH])
        offset = theta - np.log([_VARIANCE, *[_LENGTH] * lengths, _SHARE, _NOISE])
        offset = offset / widths
        penalty = 0.5 * float(offset @ offset)
        if eval_gradient:
            return value[0] - penalty, value[1] - offset / widths
        return value - penalty


class Surrogate:
    """One objective as a function of the position in the space.

    Args:
        positions: (n, d) positions, n ≥ 1.
        values: (n,) of the objective.
        variances: (n,) of the known noise of each value, in its units squared. The noise of
            training is estimated and comes on top.
        doubts: (n,) further variances, of which a share up to 1 is fitted; None: zeros.
        parameters: (d,) number of the parameter that each column belongs to, ascending from 0;
            None: a parameter for every column.

    Attributes:
        process: what was fitted, to standardised values.
    """

    def __init__(
        self,
        positions: Array,
        values: Array,
        variances: Array,
        doubts: Array | None = None,
        parameters: NDArray[np.int64] | None = None,
    ) -> None:
        if parameters is None:
            parameters = np.arange(positions.shape[1])
        if doubts is None:
            doubts = np.zeros(len(values))
        self._mean = float(values.mean())
        self._scale = float(values.std()) or 1.0
        self._positions, self._values, self._variances = positions, values, variances
        matern = GroupedMatern(
            np.full(len(np.unique(parameters)), _LENGTH), (0.05, 20), tuple(parameters.tolist())
        )
        doubt = DoubtKernel(variances=tuple((doubts / self._scale**2).tolist()))
        kernel = ConstantKernel(_VARIANCE, (0.05, 20)) * matern + doubt
        self.process = self._fit(kernel + WhiteKernel(_NOISE, (1e-6, 3)), optimise=True)

    def predict(self, positions: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (n,) of the objective at ``positions`` (n, d).

        The deviation is that of the function. The noise of a training comes on top.
        """
        mean, deviation = self.process.predict(positions, return_std=True)
        noise = self.process.kernel_.k2.noise_level
        deviation = np.sqrt(np.maximum(deviation**2 - noise, 1e-8))
        return mean * self._scale + self._mean, deviation * self._scale

    def average(self, positions: Array) -> tuple[float, float]:
        """Mean and standard deviation of the average of the function over ``positions`` (n, d).

        The errors at different positions are correlated, so the deviation is no mean of those of
        :meth:`predict`.
        """
        process, kernel = self.process, self.process.kernel_.k1.k1
        weights = kernel(positions, process.X_train_).mean(axis=0)
        solved = solve_triangular(process.L_, weights, lower=True)
        variance = float(kernel(positions).mean() - solved @ solved)
        mean = float(weights @ process.alpha_)
        return mean * self._scale + self._mean, max(variance, 0.0) ** 0.5 * self._scale

    def condition_on(self, positions: Array) -> None:
        """Add running trials at ``positions`` (n, d), with their predictions as values.

        So the next suggestion goes elsewhere (the kriging believer: Ginsbourger et al. 2010).
        """
        predicted, _ = self.predict(positions)
        self._positions = np.vstack([self._positions, positions])
        self._values = np.concatenate([self._values, predicted])
        certain = np.zeros(len(positions))
        self._variances = np.concatenate([self._variances, certain])
        kernel = self.process.kernel_
        doubts = (*kernel.k1.k2.variances, *certain)
        self.process = self._fit(kernel.set_params(k1__k2__variances=doubts), optimise=False)

    def _fit(self, kernel: Kernel, optimise: bool) -> ProcessWithPriors:
        optimizer = "fmin_l_bfgs_b" if optimise else None
        alpha = self._variances / self._scale**2 + 1e-8
        process = ProcessWithPriors(kernel, alpha=alpha, optimizer=optimizer)
        with warnings.catch_warnings():
            # A hyperparameter at its bound is no error; flat objectives cause it, for example.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(self._positions, (self._values - self._mean) / self._scale)
        return process
