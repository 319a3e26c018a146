"""Pareto successive halving (MO-ASHA: Schmucker et al. 2021, arXiv 2106.12639)."""

import numpy as np

from harness.experiment.search_section import SearchSection
from harness.search.schedulers.successive_halving import SuccessiveHalving, first_rung
from reports.frontier import additive_gap, epsilon_net_order, pareto_ranks


class ParetoSuccessiveHalving(SuccessiveHalving):
    """Successive halving by Pareto rank, within a front by spread (MO-ASHA).

    A trial goes on whatever its rank if less than ``margin`` more in every objective would put it
    on the front of its rung. Such differences are noise of training.
    """

    def __init__(self, grace_period: int, reduction_factor: int, margin: float = 0.0) -> None:
        super().__init__(grace_period, reduction_factor)
        self._margin = margin

    @classmethod
    def for_search(
        cls, search: SearchSection, epochs: int, objectives: tuple[str, ...]
    ) -> "ParetoSuccessiveHalving":
        """See :class:`~harness.search.schedulers.interface.Scheduler`."""
        del objectives
        return cls(first_rung(search, epochs), search.reduction_factor, search.margin or 0.0)

    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """Compare by non-dominated rank, then by ε-net order, which keeps trials far apart."""
        if self._margin and additive_gap(values)[row] < self._margin:
            return True
        ranks = pareto_ranks(values)
        left = kept - int(np.count_nonzero(ranks < ranks[row]))
        # No other front is put in order: a rung of a long search has dozens.
        front = np.flatnonzero(ranks == ranks[row])
        if left <= 0 or len(front) <= left:
            return left > 0
        return row in front[epsilon_net_order(values[front], left)]
