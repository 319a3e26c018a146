"""The notices on a search space whose best settings lie on its edge; see :mod:`reports.edges`."""

from harness.experiment.config import Experiment
from harness.experiment.configs import key_limits
from harness.journal.state import SearchState
from harness.search.recommendation import eligible, eligible_values
from reports.edges import crowded_keys
from reports.frontier import pareto_mask


def space_notices(experiment: Experiment, state: SearchState) -> list[str]:
    """A sentence for every searched key that settings of the front have at an end of its range."""
    aims = experiment.aims
    done = [record for record in state.of_phase("explore") if eligible(aims, record)]
    on_front = pareto_mask(eligible_values(aims, done))
    front = [record.config.flat() for record, on in zip(done, on_front, strict=True) if on]
    crowded = crowded_keys(experiment.dump()["space"], front, key_limits(experiment))
    return [found.text for found in crowded]
