"""Asynchronous successive halving (ASHA: Li et al., MLSys 2020): early stopping at rungs.

Plain ASHA compares scalars; Pareto successive halving compares by non-dominated ranks and, within
a front, by the order of an ε-net, which keeps the trials that lie far apart (MO-ASHA: Schmucker
et al. 2021, arXiv 2106.12639).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from harness.experiment.search_section import SearchSection
from reports.frontier import additive_gap, epsilon_net_order, pareto_ranks


class SuccessiveHalving(ABC):
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
        row, kept = list(rung).index(trial_id), len(rung) // self._factor
        return not self.among_best(np.array(list(rung.values())), row, kept)

    def is_first_rung(self, epoch: int) -> bool:
        """Whether trials are compared for the first time at this epoch."""
        return epoch == self._grace

    @abstractmethod
    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """Whether a row, which is finite, is among the best ``kept`` of ``values`` (n, m)."""

    def _is_rung(self, epoch: int) -> bool:
        rung = self._grace
        while rung < epoch:
            rung *= self._factor
        return rung == epoch


class ParetoSuccessiveHalving(SuccessiveHalving):
    """Compares all objectives at once.

    Args:
        grace_period: see :class:`SuccessiveHalving`.
        reduction_factor: see :class:`SuccessiveHalving`.
        margin: a trial that lacks no more than this, in every objective, to be on the front of its
            rung goes on whatever its rank: the noise of training decides about less.
    """

    def __init__(self, grace_period: int, reduction_factor: int, margin: float = 0.0) -> None:
        super().__init__(grace_period, reduction_factor)
        self._margin = margin

    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """By non-dominated rank, then by ε-net order within the row's own front.

        No other front is put in order: a rung of a long search has dozens.
        """
        if self._margin and additive_gap(values)[row] < self._margin:
            return True
        ranks = pareto_ranks(values)
        left = kept - int(np.count_nonzero(ranks < ranks[row]))
        front = np.flatnonzero(ranks == ranks[row])
        if left <= 0 or len(front) <= left:
            return left > 0
        return row in front[epsilon_net_order(values[front], left)]


class ScalarSuccessiveHalving(SuccessiveHalving):
    """Plain ASHA on one number made of (clean MAP, robust MAP).

    Args:
        grace_period: see :class:`SuccessiveHalving`.
        reduction_factor: see :class:`SuccessiveHalving`.
        scalarisation: ``clean``, ``robust``, ``mean``; ``hypervolume``, what the trial alone
            dominates above the origin, clean · robust; or weights of clean and robust.
    """

    def __init__(
        self, grace_period: int, reduction_factor: int, scalarisation: str | Mapping[str, float]
    ) -> None:
        super().__init__(grace_period, reduction_factor)
        self._scalarisation = scalarisation

    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """By the scalar; of equal trials the one that reached the rung first comes first."""
        scalars = scalarise(self._scalarisation, values)
        scalars[~np.isfinite(values).all(axis=1)] = -np.inf
        return row in np.argsort(-scalars, kind="stable")[:kept]


_WEIGHTS: dict[str, Mapping[str, float]] = {
    "clean": {"clean": 1.0},
    "robust": {"robust": 1.0},
    "mean": {"clean": 0.5, "robust": 0.5},
}


def scalarise(scalarisation: str | Mapping[str, float], values: np.ndarray) -> np.ndarray:
    """One number for each row (clean MAP, robust MAP) of ``values`` (n, 2), larger is better."""
    if scalarisation == "hypervolume":
        return np.asarray(np.prod(values, axis=1))
    weights = _WEIGHTS[scalarisation] if isinstance(scalarisation, str) else scalarisation
    # A weight of 0 leaves the objective out.
    columns = [
        w * values[:, i]
        for i, name in enumerate(("clean", "robust"))
        if (w := weights.get(name, 0.0))
    ]
    return np.asarray(np.sum(columns, axis=0))


def first_rung(search: SearchSection, epochs: int) -> int:
    """Epochs before the first rung: ``search.grace_period``, or half of the ``epochs``, rounded up.

    Half, because the order of clean MAPs in the first epochs says little about the order at the
    end (docs/results/search_efficiency.md).
    """
    if search.grace_period == "auto":
        return max(1, -(-epochs // 2))
    return search.grace_period


def make_scheduler(search: SearchSection, epochs: int) -> SuccessiveHalving:
    """The scheduler of a search; with ``none`` nobody obeys it.

    Args:
        search: the section.
        epochs: of the longest training.
    """
    rung = first_rung(search, epochs)
    if search.scheduler == "asha" and search.scalarisation is not None:
        return ScalarSuccessiveHalving(rung, search.reduction_factor, search.scalarisation)
    return ParetoSuccessiveHalving(rung, search.reduction_factor, search.margin or 0.0)
