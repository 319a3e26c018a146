"""Plain ASHA on one number made of both objectives."""

from collections.abc import Mapping

import numpy as np

from harness.experiment.search_section import SearchSection
from harness.search.schedulers.successive_halving import SuccessiveHalving, first_rung

Scalarisation = str | Mapping[str, float]


class ScalarSuccessiveHalving(SuccessiveHalving):
    """Successive halving by one number made of clean and robust MAP (ASHA).

    ``scalarisation`` is ``clean``, ``robust``, ``mean``, ``hypervolume`` or a pair of weights of
    clean and robust MAP. ``hypervolume`` is clean · robust, the area that the trial dominates.
    """

    def __init__(
        self, grace_period: int, reduction_factor: int, scalarisation: Scalarisation
    ) -> None:
        super().__init__(grace_period, reduction_factor)
        self._scalarisation = scalarisation

    @classmethod
    def for_search(cls, search: SearchSection, epochs: int) -> "ScalarSuccessiveHalving":
        """See :class:`~harness.search.schedulers.interface.Scheduler`."""
        assert search.scalarisation is not None  # checked when the file is read
        return cls(first_rung(search, epochs), search.reduction_factor, search.scalarisation)

    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """Compare by the scalar; of equal trials, the first one at the rung ranks higher."""
        finite = np.isfinite(values).all(axis=1)
        scalars = np.full(len(values), -np.inf)
        scalars[finite] = scalarise(self._scalarisation, values[finite])
        return row in np.argsort(-scalars, kind="stable")[:kept]


_WEIGHTS: dict[str, Mapping[str, float]] = {
    "clean": {"clean": 1.0},
    "robust": {"robust": 1.0},
    "mean": {"clean": 0.5, "robust": 0.5},
}


def scalarise(scalarisation: Scalarisation, values: np.ndarray) -> np.ndarray:
    """One number for each row (clean MAP, robust MAP) of ``values`` (n, 2), larger is better."""
    if scalarisation == "hypervolume":
        return np.asarray(np.prod(values, axis=1))
    weights = _WEIGHTS[scalarisation] if isinstance(scalarisation, str) else scalarisation
    clean, robust = weights.get("clean", 0.0), weights.get("robust", 0.0)
    return np.asarray(clean * values[:, 0] + robust * values[:, 1])
