"""The work that a search expects of a trial of each kind, in forward passes (F)."""

from statistics import fmean

from harness.experiment.config import Experiment
from harness.experiment.published import published_configs
from harness.session.sizes import data_sizes, size_of_search
from harness.session.stage_costs import stages_of_search
from harness.session.time_left import TrialWork
from harness.session.trial_costs import TrialCosts


def trial_work(experiment: Experiment, cache_dir: str | None, known: set[str]) -> TrialWork:
    """Mean F of a trial of each kind, with its part of the pretrained models.

    Settings whose hashes are ``known`` do not run again. The data have been decoded before.
    """
    sizes = data_sizes(experiment, cache_dir, lambda _: None)
    size = size_of_search(experiment, sizes.fingerprint, known)
    costs = TrialCosts(experiment, sizes)
    totals = {"explore": 0.0, "confirm": 0.0}
    for stage in stages_of_search(experiment, size, costs):
        totals[stage.phase] += stage.passes()
    published = [
        costs.training(config, 1, config.epochs) + costs.validation(config) * config.epochs
        for config in published_configs(experiment)
    ]
    default = fmean((work + costs.reattack).passes for work in published) if published else 0.0
    sampled = (totals["explore"] - default * size.defaults) / max(1, size.sampled)
    confirm = totals["confirm"] / max(1, size.confirmed * experiment.confirm.seeds)
    found = {"default": default, "sampled": sampled, "confirm": confirm}
    usual = max(found.values())
    # A kind that has no trial has the work of another one; nothing divides by 0.
    return {kind: work if work > 0 else usual or 1.0 for kind, work in found.items()}
