"""Pareto successive halving: asynchronous, multi-objective early stopping.

Asynchronous successive halving (Li et al., MLSys 2020) with the scalar comparison replaced by
non-dominated ranks and, within a front, by the order of an ε-net, which keeps the trials that
lie far apart (MO-ASHA: Schmucker et al. 2021, arXiv 2106.12639).
"""

import numpy as np

from reports.frontier import epsilon_net_order, pareto_ranks


class ParetoSuccessiveHalving:
    """Decides after every epoch whether a trial goes on.

    At epochs grace_period · reduction_factorᵏ (the rungs) a trial is compared with all trials
    that reached the same rung before it, and goes on if it is among the best 1/reduction_factor.
    The first trials at a rung, fewer than reduction_factor, always go on.

    Args:
        grace_period: epochs before the first rung.
        reduction_factor: η ≥ 2.
    """

    def __init__(self, grace_period: int, reduction_factor: int) -> None:
        self._grace, self._factor = grace_period, reduction_factor
        self._rungs: dict[int, dict[str, tuple[float, ...]]] = {}

    def should_stop(self, trial_id: str, epoch: int, values: tuple[float, ...]) -> bool:
        """Record a trial at an epoch, and decide.

        Recording the same epoch again changes nothing but the values, so replaying a journal
        rebuilds the rungs.

        Args:
            trial_id: the trial.
            epoch: finished epochs, from 1.
            values: objectives, larger is better; a trial with a non-finite one is stopped.
        """
        if not self._is_rung(epoch):
            return not np.isfinite(values).all()
        rung = self._rungs.setdefault(epoch, {})
        rung[trial_id] = values
        if not np.isfinite(values).all():
            return True
        if len(rung) < self._factor:
            return False
        kept = len(rung) // self._factor
        return list(rung).index(trial_id) not in best_first(np.array(list(rung.values())))[:kept]

    def _is_rung(self, epoch: int) -> bool:
        rung = self._grace
        while rung < epoch:
            rung *= self._factor
        return rung == epoch


def best_first(values: np.ndarray) -> list[int]:
    """Rows of ``values`` (n, m) by non-dominated rank, then by ε-net order within a front."""
    ranks = pareto_ranks(values)
    order: list[int] = []
    for rank in np.unique(ranks):
        front = np.flatnonzero(ranks == rank)
        order += front[epsilon_net_order(values[front])].tolist()
    return order
