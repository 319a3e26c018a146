"""Plain ASHA on one number made of all objectives."""

from collections.abc import Mapping

import numpy as np

from harness.experiment.search_section import SearchSection, weighed_metric
from harness.search.schedulers.successive_halving import SuccessiveHalving, first_rung
from saat.metrics import OBJECTIVES

Scalarisation = str | Mapping[str, float]


class ScalarSuccessiveHalving(SuccessiveHalving):
    """Successive halving by one number made of the objectives (ASHA); see :func:`scalarise`.

    ``objectives`` are the plain names of what trials are compared by, and ``scalarisation``, also
    an attribute, makes a number of them.
    """

    def __init__(
        self,
        grace_period: int,
        reduction_factor: int,
        scalarisation: Scalarisation,
        objectives: tuple[str, ...] = OBJECTIVES,
    ) -> None:
        super().__init__(grace_period, reduction_factor)
        self.scalarisation, self._objectives = scalarisation, objectives

    @classmethod
    def for_search(
        cls, search: SearchSection, epochs: int, objectives: tuple[str, ...]
    ) -> "ScalarSuccessiveHalving":
        """See :class:`~harness.search.schedulers.interface.Scheduler`."""
        assert search.scalarisation is not None  # checked when the file is read
        first = first_rung(search, epochs)
        return cls(first, search.reduction_factor, search.scalarisation, objectives)

    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """Compare by the scalar; of equal trials, the first one at the rung ranks higher."""
        finite = np.isfinite(values).all(axis=1)
        scalars = np.full(len(values), -np.inf)
        scalars[finite] = scalarise(self.scalarisation, values[finite], self._objectives)
        return row in np.argsort(-scalars, kind="stable")[:kept]


def scalarise(
    scalarisation: Scalarisation, values: np.ndarray, objectives: tuple[str, ...] = OBJECTIVES
) -> np.ndarray:
    """One number for each row of ``values`` (n, m), larger is better.

    Args:
        scalarisation: ``clean`` or ``robust`` for that MAP alone; ``mean`` of all objectives;
            ``hypervolume`` for the volume between the trial and the reference, which is the
            product of the values; or weights by metric.
        values: as shares, see :class:`~harness.search.schedulers.interface.Scheduler`.
        objectives: plain names of the columns.
    """
    if scalarisation == "hypervolume":
        return np.asarray(np.prod(np.maximum(values, 0.0), axis=1))
    if scalarisation == "mean":
        given: Mapping[str, float] = dict.fromkeys(objectives, 1 / len(objectives))
    elif isinstance(scalarisation, str):
        given = {scalarisation: 1.0}
    else:
        given = scalarisation
    weights = {weighed_metric(word) or word: weight for word, weight in given.items()}
    columns = enumerate(objectives)
    return np.asarray(sum(weights.get(name, 0.0) * values[:, i] for i, name in columns))
