"""What the model of a search says of its result, handed to the report as numbers."""

from harness.experiment.config import Experiment
from harness.journal.state import SearchState
from harness.search.ablation import ablation_paths
from harness.search.dependence import partial_dependence
from harness.search.final_model import FEWEST_TRIALS, final_model
from harness.search.recommendation import usable
from reports.explanation import Explanation


def learned_from(experiment: Experiment, state: SearchState) -> list[str]:
    """Ids of the explore trials that have ended, then of the recommended ones.

    An explanation of the same ids would be the same.
    """
    ended = [r.spec.trial_id for r in state.known() if r.status != "running"]
    return [*ended, *(state.recommended or ())]


def search_explanation(experiment: Experiment, state: SearchState) -> Explanation:
    """Partial dependence on each searched key, and a path to each recommended setting."""
    trials = learned_from(experiment, state)
    model = final_model(experiment, state)
    if model is None:
        count = sum(usable(experiment.aims, record) for record in state.known())
        few = f"{count} explored trials completed, and {FEWEST_TRIALS} are needed"
        return Explanation(trials, missing=few if experiment.space else "nothing was searched")
    return Explanation(
        trials,
        partial_dependence(experiment.space, model),
        ablation_paths(experiment, state, model),
    )
