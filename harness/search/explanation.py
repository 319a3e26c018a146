"""What the model of a search says of its result, handed to the report as numbers."""

from harness.experiment.config import Experiment
from harness.journal.state import SearchState, TrialRecord
from harness.search.ablation import ablation_paths
from harness.search.dependence import partial_dependence
from harness.search.final_model import FEWEST_TRIALS, FinalModel
from reports.explanation import Explanation
from saat.wording import counted


def learned_from(state: SearchState) -> list[str]:
    """Ids of the explore trials that have ended, then of the recommended ones.

    An explanation of the same ids would be the same.
    """
    return [*(record.spec.trial_id for record in _ended(state)), *(state.recommended or ())]


def _ended(state: SearchState) -> list[TrialRecord]:
    return [record for record in state.known() if record.status != "running"]


def search_explanation(experiment: Experiment, state: SearchState) -> Explanation:
    """Partial dependence on each searched key, and a path to each recommended setting."""
    trials = learned_from(state)
    if not any(len(set(d.samples())) > 1 for d in experiment.space.values()):
        return Explanation(trials, missing="nothing was searched")
    model = FinalModel(experiment, _ended(state))
    if (count := len(model.points)) < FEWEST_TRIALS:
        few = f"{counted(count, 'explored trial')} completed above chance, and {FEWEST_TRIALS} are"
        return Explanation(trials, missing=f"{few} needed")
    return Explanation(
        trials,
        partial_dependence(experiment.space, model),
        ablation_paths(experiment, state, model),
    )
