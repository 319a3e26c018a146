"""The front of a search so far, as a terminal shows it."""

from collections.abc import Sequence

import numpy as np

from harness.journal.state import SearchState, TrialRecord
from harness.search.recommendation import eligible
from reports.frontier import hypervolume, pareto_mask
from saat.feasibility import Aims


def front_of(aims: Aims, state: SearchState) -> tuple[Sequence[TrialRecord], float]:
    """The explored settings that no other one beats, best in the first objective first.

    With them the hypervolume of all eligible ones.
    """
    done = [record for record in state.of_phase("explore") if eligible(aims, record)]
    points = aims.oriented([aims.values(record.metrics) for record in done])
    order = np.argsort(-points[:, 0], kind="stable")
    on_front = pareto_mask(points)
    return [done[i] for i in order if on_front[i]], hypervolume(points, aims.corner)
