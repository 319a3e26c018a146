"""The interface of schedulers, which decide after validated epochs whether a trial goes on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from harness.experiment.search_section import SearchSection


class Scheduler(ABC):
    """Decides which trials stop early.

    Decisions depend on the reports and their order alone, without a clock: a search that is
    resumed reports its journal again.
    """

    # Epoch at which trials are first compared, and at which start-up trials of the sampler end.
    first_rung: int | None = None

    @classmethod
    @abstractmethod
    def for_search(
        cls, search: SearchSection, epochs: int, objectives: tuple[str, ...]
    ) -> "Scheduler":
        """Make the scheduler of a search.

        Args:
            search: the section of the experiment.
            epochs: of the longest training.
            objectives: plain names of the metrics that trials are compared by, in the order of
                the values that :meth:`should_stop` gets.
        """

    @abstractmethod
    def should_stop(self, trial_id: str, epoch: int, values: tuple[float, ...]) -> bool:
        """Record a trial at an epoch, and decide whether it stops.

        Args:
            trial_id: the trial.
            epoch: from 1; a resumed search may report one a second time.
            values: (m,) objectives on validation queries, as shares
                (:meth:`saat.feasibility.Aims.shares`): 0 at an objective's reference, 1 at its
                best value, larger is better. A MAP that is maximised is its own share. NaN where
                not measured.
        """

    def stop_reason(self, epoch: int) -> str:
        """Why a trial was stopped at an epoch, in words."""
        return f"stopped by {type(self).__name__} at epoch {epoch}"

    def rungs(self, epochs: int) -> Iterator[int]:
        """Epochs below ``epochs`` at which trials are compared; they are always validated."""
        del epochs
        return iter(())
