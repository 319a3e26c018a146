"""Asynchronous successive halving (ASHA: Li et al., MLSys 2020): early stopping at rungs."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from harness.experiment.search_section import SearchSection
from harness.search.schedulers.interface import Scheduler


class SuccessiveHalving(Scheduler):
    """Compares trials at rungs.

    At epochs grace_period · reduction_factorᵏ (the rungs) a trial is compared with all trials
    that reached the same rung before it, and goes on if it is among the best 1/reduction_factor.
    The first trials at a rung, fewer than reduction_factor, always go on.
    """

    def __init__(self, grace_period: int, reduction_factor: int) -> None:
        self.first_rung: int = grace_period
        self._factor = reduction_factor
        self._rungs: dict[int, dict[str, tuple[float, ...]]] = {}

    def should_stop(self, trial_id: str, epoch: int, values: tuple[float, ...]) -> bool:
        """Record a trial at an epoch, and decide; a value that is not finite stops it.

        Recording the same epoch again changes nothing but the values, so replaying a journal
        rebuilds the rungs.
        """
        if epoch not in self.rungs(epoch + 1):
            return not np.isfinite(values).all()
        rung = self._rungs.setdefault(epoch, {})
        rung[trial_id] = values
        if not np.isfinite(values).all():
            return True
        if len(rung) < self._factor:
            return False
        row, kept = list(rung).index(trial_id), len(rung) // self._factor
        return not self.among_best(np.array(list(rung.values())), row, kept)

    def stop_reason(self, epoch: int) -> str:
        """Says that the trial is not among the best at the rung."""
        return f"not among the best 1/{self._factor} at epoch {epoch}"

    def rungs(self, epochs: int) -> Iterator[int]:
        """The rungs below ``epochs``."""
        rung = self.first_rung
        while rung < epochs:
            yield rung
            rung *= self._factor

    @abstractmethod
    def among_best(self, values: np.ndarray, row: int, kept: int) -> bool:
        """Whether a row, which is finite, is among the best ``kept`` of ``values`` (n, m)."""


def first_rung(search: SearchSection, epochs: int) -> int:
    """Epochs before the first rung: ``search.grace_period``, or half of the ``epochs``, rounded up.

    Half, because the order of clean MAPs in the first epochs says little about the order at the
    end (docs/results/search_efficiency.md).
    """
    if search.grace_period == "auto":
        return max(1, -(-epochs // 2))
    return search.grace_period
