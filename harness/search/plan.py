"""Which trainings a search consists of besides the suggestions of its sampler."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import (
    config_at,
    confirmed_configs,
    longest_training,
    to_confirm,
)
from harness.journal.state import SearchState
from harness.search.schedulers import SCHEDULERS

Plan = Literal["search", "train", "compare"]


class Planned(NamedTuple):
    """A training that is known before it begins."""

    phase: str
    role: str
    seed: int
    config: TrialConfig


def deciding_epochs(experiment: Experiment) -> tuple[int, ...]:
    """Epochs at which the scheduler may stop a trial, whichever epochs are validated besides."""
    search, epochs = experiment.search, longest_training(experiment)
    scheduler = SCHEDULERS[search.scheduler].for_search(search, epochs)
    first = [] if scheduler.first_rung is None else [scheduler.first_rung]
    return tuple(sorted({*scheduler.rungs(epochs), *first}))


def given(experiment: Experiment, plan: Plan) -> Iterator[Planned]:
    """The trainings of a plan without a search, seed by seed."""
    if plan == "train":
        yield Planned("train", "train", experiment.seed, experiment.config)
        return
    for offset in range(experiment.confirm.seeds):
        for name, point in experiment.compare.items():
            yield Planned("train", name, experiment.seed + offset, config_at(experiment, point))


def confirmations(experiment: Experiment, state: SearchState) -> Iterator[Planned]:
    """What is confirmed once there is a recommendation, all under the same fresh seeds.

    They come seed by seed, so that an early end stays balanced. No setting was recommended for a
    training under one of these seeds, in this search or an earlier one.
    """
    explored = {record.spec.trial_id: record for record in state.known()}
    chosen = [explored[trial_id].config for trial_id in state.recommended or []]
    configs = to_confirm(experiment, chosen)
    used = max([experiment.seed, *(record.spec.seed for record in state.warm.values())])
    for offset in range(1, experiment.confirm.seeds + 1):
        for role, config in configs:
            yield Planned("confirm", role, used + offset, config)


def planned_trials(experiment: Experiment, plan: Plan, state: SearchState, defaults: int) -> int:
    """How many trials a search will have, as far as can be told now.

    ``defaults`` counts the published settings that are trained, those of earlier searches left out.
    """
    if plan != "search":
        return sum(1 for _ in given(experiment, plan))
    explored = len(state.of_phase("explore"))
    if state.recommended is not None:
        return explored + sum(1 for _ in confirmations(experiment, state))
    samples = experiment.search.num_samples
    if state.stopped_exploring:
        candidates = sum(record.spec.role == "sampled" for record in state.known())
    else:
        candidates = samples + len(state.warm)
        explored = max(defaults + samples, explored)
    return explored + confirmed_configs(experiment, candidates) * experiment.confirm.seeds
