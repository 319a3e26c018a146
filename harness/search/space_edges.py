"""The notices on a search space whose best settings lie on its edge; see :mod:`reports.edges`."""

from harness.experiment.config import Experiment
from harness.experiment.key_limits import key_limits
from harness.journal.state import SearchState
from harness.search.recommendation import eligible
from reports.edges import crowded_keys
from reports.frontier import pareto_mask
from saat.feasibility import objective_values


def space_notices(experiment: Experiment, state: SearchState) -> list[str]:
    """A sentence for every searched key that settings of the front have at an end of its range."""
    done = [record for record in state.of_phase("explore") if eligible(experiment, record)]
    on_front = pareto_mask([objective_values(record.metrics) for record in done])
    front = [record.config.flat() for record, on in zip(done, on_front, strict=True) if on]
    crowded = crowded_keys(experiment.dump()["space"], front, key_limits(experiment))
    return [found.text for found in crowded]
