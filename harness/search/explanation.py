"""What the model of a search says of its result, handed to the report as numbers."""

from harness.experiment.config import Experiment
from harness.journal.state import SearchState
from harness.search.ablation import ablation_paths
from harness.search.dependence import partial_dependence
from harness.search.final_model import FEWEST_TRIALS, final_model
from reports.explanation import Explanation
from saat.wording import counted


def learned_from(state: SearchState) -> list[str]:
    """Ids of the explore trials that have ended, then of the recommended ones.

    An explanation of the same ids would be the same.
    """
    ended = [r.spec.trial_id for r in state.known() if r.status != "running"]
    return [*ended, *(state.recommended or ())]


def search_explanation(experiment: Experiment, state: SearchState) -> Explanation:
    """Partial dependence on each searched key, and a path to each recommended setting."""
    trials = learned_from(state)
    if not any(len(set(d.samples())) > 1 for d in experiment.space.values()):
        return Explanation(trials, missing="nothing was searched")
    model = final_model(experiment, state)
    if (count := len(model.points)) < FEWEST_TRIALS:
        few = f"{counted(count, 'explored trial')} completed above chance, and {FEWEST_TRIALS} are"
        return Explanation(trials, missing=f"{few} needed")
    return Explanation(
        trials,
        partial_dependence(experiment.space, model),
        ablation_paths(experiment, state, model),
    )
