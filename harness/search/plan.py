"""The trainings of a run that no sampler suggests, and how many trials it will have."""

from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, longest_training
from harness.experiment.published import confirmed_configs, to_confirm
from harness.experiment.strata import strata
from harness.journal.state import SearchState
from harness.search.schedulers.interface import Scheduler
from harness.search.schedulers.registry import SCHEDULERS

Plan = Literal["search", "train", "compare"]


class PlannedTraining(NamedTuple):
    """A training, before it is journaled as a trial."""

    phase: str
    role: str
    seed: int
    config: TrialConfig


def scheduler_of(experiment: Experiment) -> Scheduler:
    """The scheduler of a search, which compares the objectives that validation measures."""
    search, aims = experiment.search, experiment.aims
    compared = tuple(aims.names[i] for i in aims.validated)
    return SCHEDULERS[search.scheduler].for_search(search, longest_training(experiment), compared)


def deciding_epochs(experiment: Experiment) -> tuple[int, ...]:
    """Epochs at which the scheduler may stop a trial, whichever epochs are validated besides."""
    found: set[int] = set()
    for part, _ in strata(experiment):
        scheduler = scheduler_of(part)
        found.update(scheduler.rungs(longest_training(part)))
        if scheduler.first_rung is not None:
            found.add(scheduler.first_rung)
    return tuple(sorted(found))


def fixed_trainings(experiment: Experiment, plan: Plan) -> Iterator[PlannedTraining]:
    """The trainings of a plan without a search, seed by seed."""
    if plan == "train":
        yield PlannedTraining("train", "train", experiment.seed, experiment.config)
        return
    for offset in range(experiment.confirm.seeds):
        for name, point in experiment.compare.items():
            yield PlannedTraining(
                "train", name, experiment.seed + offset, config_at(experiment, point)
            )


def confirmations(experiment: Experiment, state: SearchState) -> Iterator[PlannedTraining]:
    """The trainings that confirm a recommendation, all settings under the same fresh seeds.

    They are ordered by seed, so that every setting has about as many trainings at an early end. No
    trial under one of these seeds, of this search or an earlier one, led to the recommendation.
    """
    explored = {record.spec.trial_id: record for record in state.known()}
    chosen = [explored[trial_id].config for trial_id in state.recommended or []]
    configs = to_confirm(experiment, chosen)
    used = max([experiment.seed, *(record.spec.seed for record in state.warm.values())])
    for offset in range(1, experiment.confirm.seeds + 1):
        for role, config in configs:
            yield PlannedTraining("confirm", role, used + offset, config)


class PlannedTrials(NamedTuple):
    """How many trials a run will have, as far as it is known now; ``confirm`` has all others."""

    explore: int
    confirm: int


def planned_trials(
    experiment: Experiment, plan: Plan, state: SearchState, published: Collection[str]
) -> PlannedTrials:
    """The number of trials that a run will have, as far as it is known now.

    ``published`` are the hashes of the published settings, of which those that an earlier search
    trained do not run again.
    """
    if plan != "search":
        return PlannedTrials(0, sum(1 for _ in fixed_trainings(experiment, plan)))
    explored = len(state.of_phase("explore"))
    if state.recommended is not None:
        return PlannedTrials(explored, sum(1 for _ in confirmations(experiment, state)))
    defaults = len(set(published) - {record.config_hash for record in state.warm.values()})
    samples = experiment.planned_samples
    if state.stopped_exploring:
        candidates = sum(record.spec.role == "sampled" for record in state.known())
    else:
        candidates = samples + len(state.warm)
        explored = max(defaults + samples, explored)
    confirmed = confirmed_configs(experiment, candidates) * experiment.confirm.seeds
    return PlannedTrials(explored, confirmed)
