"""What a search has for each value of ``search.each``: a space, a sampler and a scheduler.

So a trial is compared only with trials of its own stratum, and no stratum starves because another
is ahead of it. Without ``search.each`` there is one stratum, the whole search.
"""

from collections.abc import Iterable
from typing import Any

from harness.experiment.strata import Stratum
from harness.journal.state import SearchState, TrialRecord
from harness.search.plan import scheduler_of
from harness.search.searcher import Searcher
from harness.search.stopping import stop_reason

EXHAUSTED = "every setting of the space was tried"


class StratumSearch:
    """A sampler and a scheduler that see one stratum alone.

    ``key`` is that of ``search.each``, and None where the stratum is the whole search. A
    ``searcher`` replaces the one that the experiment asks for.
    """

    def __init__(self, stratum: Stratum, key: str | None, searcher: Searcher | None) -> None:
        self.experiment, self.fixed = stratum
        self._key = key
        self.searcher = searcher or Searcher.of(self.experiment)
        self.scheduler = scheduler_of(self.experiment)
        self.is_exhausted = False  # whether no setting is left that has not been tried

    @property
    def value(self) -> Any:
        """The value of the key that makes the stratum."""
        return self.fixed.get(self._key or "")

    def has(self, record: TrialRecord) -> bool:
        """Whether a trial belongs to the stratum."""
        return self._key is None or record.point.get(self._key) == self.value

    def sampled(self, state: SearchState) -> int:
        """Number of settings that were sampled in the stratum."""
        explored = state.of_phase("explore")
        return sum(record.spec.role == "sampled" and self.has(record) for record in explored)

    def closed(self, state: SearchState) -> str:
        """Why the stratum gets no further trial before its budget is spent; empty if it may."""
        if self.is_exhausted:
            return EXHAUSTED
        return stop_reason(self.experiment, state, self.has)


def why_closed(reasons: Iterable[tuple[StratumSearch, str]]) -> str:
    """The reasons of several strata in one line, one of them where they have the same."""
    pairs = list(reasons)
    if len({reason for _, reason in pairs}) == 1:
        return pairs[0][1]
    return "; ".join(f"{part.value}: {reason}" for part, reason in pairs)


def in_turn(parts: Iterable[StratumSearch], state: SearchState) -> list[StratumSearch]:
    """Strata with budget left, the one with the fewest sampled trials first.

    Equal ones come in the order of the file.
    """
    counts = [(part.sampled(state), part) for part in parts]
    left = [pair for pair in counts if pair[0] < pair[1].experiment.search.num_samples]
    return [part for _, part in sorted(left, key=lambda pair: pair[0])]
