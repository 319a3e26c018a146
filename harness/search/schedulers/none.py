"""No early stopping."""

from harness.experiment.search_section import SearchSection
from harness.search.schedulers.interface import Scheduler


class NeverStop(Scheduler):
    """Every trial runs to its end."""

    @classmethod
    def for_search(
        cls, search: SearchSection, epochs: int, objectives: tuple[str, ...]
    ) -> "NeverStop":
        """See :class:`~harness.search.schedulers.interface.Scheduler`."""
        del search, epochs, objectives
        return cls()

    def should_stop(self, trial_id: str, epoch: int, values: tuple[float, ...]) -> bool:
        """Always False: no trial stops early."""
        del trial_id, epoch, values
        return False
