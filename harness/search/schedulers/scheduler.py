"""What a scheduler is: it decides after every epoch of a trial whether the trial goes on."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from harness.experiment.search_section import SearchSection


class Scheduler(ABC):
    """Decides which trials stop early.

    Decisions depend on the reports alone, in their order and without a clock: a search that is
    resumed reports its journal again.

    Attributes:
        first_rung: epoch at which trials are first compared, where those that only teach the
            sampler end; None if there is none.
    """

    first_rung: int | None = None

    @classmethod
    @abstractmethod
    def for_search(cls, search: SearchSection, epochs: int) -> "Scheduler":
        """The scheduler of a search.

        Args:
            search: the section ``search`` of its file.
            epochs: of the longest training.
        """

    @abstractmethod
    def should_stop(self, trial_id: str, epoch: int, values: tuple[float, ...]) -> bool:
        """Record a trial at an epoch, and decide.

        Args:
            trial_id: the trial.
            epoch: finished epochs, from 1; a resumed search may report one a second time.
            values: (clean MAP, robust MAP) on validation queries, larger is better; NaN where not
                measured.
        """

    def stop_reason(self, epoch: int) -> str:
        """Why a trial was stopped at an epoch, in words."""
        return f"stopped by {type(self).__name__} at epoch {epoch}"

    def rungs(self, epochs: int) -> Iterator[int]:
        """Epochs below ``epochs`` at which trials are compared, for a dry run."""
        del epochs
        return iter(())
