"""What the stages of a search, a training or a comparison cost in forward passes (F)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import optuna

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, corners, undefended
from harness.experiment.published import first_published, published_configs
from harness.experiment.space import suggest
from harness.search.plan import Plan, fixed_trainings
from harness.session.sizes import SearchSize
from harness.session.trial_costs import CASES, Case, Passed, TrialCosts
from saat.errors import InputError
from saat.work import Work

# Random settings of a space, whose mean cost stands for a sampled trial.
_DRAWN = 128
# Work by what images pass.
Costs = dict[Passed, Work]
# Epoch, and share of trials that goes on after it.
Rungs = Sequence[tuple[int, float]]


class TrialGroup(NamedTuple):
    """Trials of one setting."""

    number: float  # that begin
    config: TrialConfig
    rungs: Rungs = ()  # where some of them stop; all go on to their end where there are none

    def going_on(self, epoch: int) -> float:
        """How many go on after an epoch."""
        lefts = (left for rung, left in reversed(self.rungs) if rung <= epoch)
        return self.number * next(lefts, 1.0)

    @property
    def epochs(self) -> float:
        """Of all of them together."""
        return sum(self.going_on(done) for done in range(self.config.epochs))

    @property
    def finished(self) -> float:
        """How many reach the end."""
        return self.going_on(self.config.epochs - 1)


# The trials of a phase, and the models that are pretrained for them.
PhaseTrials = tuple[Sequence[TrialGroup], Sequence[TrialGroup]]


@dataclass(frozen=True)
class Stage:
    """A row of the plan.

    Its costs are ``expected``, if as many trials go on as the scheduler means to keep; ``least``,
    if every sampled trial stops at its first rung and has the cheapest setting; ``most``, if none
    stops and all have the dearest one.
    """

    phase: str  # ``explore``, ``confirm``, ``train`` or ``compare``
    name: str  # what is done
    count: float  # how often, as expected
    unit: str  # what is counted
    costs: Mapping[Case, Costs]

    def passes(self, case: Case = "expected") -> float:
        """F of the stage."""
        return sum(work.passes for work in self.costs[case].values())


def stages_given(experiment: Experiment, plan: Plan, costs: TrialCosts) -> list[Stage]:
    """Stages of a training or a comparison, which are known beforehand."""
    planned = list(fixed_trainings(experiment, plan))
    models = {(str(p.config.model), str(p.config.pretrain), p.seed): p.config for p in planned}
    known = (
        [TrialGroup(1, training.config) for training in planned],
        [TrialGroup(1, config) for config in models.values()],
    )
    return _stages(plan, costs, dict.fromkeys(CASES, known), experiment)


def stages_of_search(experiment: Experiment, size: SearchSize, costs: TrialCosts) -> list[Stage]:
    """Stages of exploring and confirming."""
    settings, published = _settings(experiment, costs), published_configs(experiment)

    def trials(
        case: Case, number: float, models: float, others: list[TrialGroup], rungs: Rungs = ()
    ) -> PhaseTrials:
        """So many trials and models, in equal parts of a case's settings."""
        configs = settings[case]
        equal = [TrialGroup(number / len(configs), config, rungs) for config in configs]
        return others + equal, [TrialGroup(models / len(configs), c) for c in configs]

    # Those of earlier searches do not run again.
    defaults = [TrialGroup(1, config) for config in published[len(published) - size.defaults :]]
    rungs = [(epoch, left / size.sampled) for epoch, left in size.rungs if size.sampled]
    at_once, models = [(epoch, 0.0) for epoch, _ in rungs[:1]], size.explore_pretrained
    explored: dict[Case, PhaseTrials] = {
        "least": trials("least", size.sampled, min(1, models), defaults, at_once),
        "expected": trials("expected", size.sampled, models, defaults, rungs),
        "most": trials("most", size.sampled, models, defaults),
    }
    stages = _stages("explore", costs, explored, experiment)
    if not size.confirmed:
        return stages
    # Beside recommended settings, the defaults and the undefended one for every length of them.
    seeds, models = experiment.confirm.seeds, size.confirm_pretrained
    others = first_published(experiment)
    others += [undefended(experiment.config)] * experiment.confirm.undefended
    number = size.confirmed - len(others)
    bits = experiment.space.get("model.bits")
    lengths = max(1, min(len(set(bits.samples())) if bits else 1, number))
    once, often = ([TrialGroup(n * seeds, config) for config in others] for n in (1, lengths))
    confirmed: dict[Case, PhaseTrials] = {
        "least": trials("least", 0, seeds if others else 0, once),  # none is above chance
        "expected": trials("expected", number * seeds, models, once),
        "most": trials("most", number * seeds, max(models, lengths * seeds), often),
    }
    return stages + _stages("confirm", costs, confirmed, experiment)


def searched_configs(experiment: Experiment) -> list[TrialConfig]:
    """Settings at the corners of the space, the experiment's own and the published ones."""
    at_corners = _possible(experiment, corners(experiment))
    return [*at_corners, experiment.config, *published_configs(experiment)]


def _settings(experiment: Experiment, costs: TrialCosts) -> dict[Case, list[TrialConfig]]:
    """Settings of a space: the cheapest, random ones of equal weight, the dearest."""

    def training(config: TrialConfig) -> float:
        trained = costs.pretraining(config) + costs.training(config, 0, config.epochs)
        return (trained + costs.validation(config) * config.epochs).passes

    # Random points of the space, the same in every process.
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space, base = experiment.space, experiment.config.flat()
    drawn = [experiment.config]
    if space:
        points = (suggest(study.ask(), space, base) for _ in range(_DRAWN))
        drawn = _possible(experiment, points)
    ends = _possible(experiment, corners(experiment)) + drawn
    ends.sort(key=training)
    return {"least": ends[:1], "expected": drawn, "most": ends[-1:]}


def _possible(experiment: Experiment, points: Iterable[Mapping[str, Any]]) -> list[TrialConfig]:
    configs = []
    for point in points:
        with suppress(InputError):  # a search skips it
            configs.append(config_at(experiment, point))
    return configs or [experiment.config]


def _stages(
    phase: str, costs: TrialCosts, cases: Mapping[Case, PhaseTrials], experiment: Experiment
) -> list[Stage]:
    exploring = phase == "explore"
    battery = "none" if exploring else experiment.confirm.battery
    attacks, attack = ("re-attack", costs.reattack) if exploring else ("test attacks", costs.test)
    units = {"pretraining": "model", "adversarial training": "trial", "validation": "epoch"}
    units[attacks] = "trial"
    if battery != "none":
        units[f"battery {battery}"] = "trial"
    counts: dict[tuple[str, Case], float] = defaultdict(int)
    summed: dict[tuple[str, Case], Costs] = defaultdict(lambda: defaultdict(Work))

    def add(name: str, case: Case, passed: Passed, count: float, work: Work) -> None:
        counts[name, case] += count
        summed[name, case][passed] += work

    for case, (groups, models) in cases.items():
        for number, config, _ in models:
            pretrained = costs.pretraining(config) * number
            add("pretraining", case, costs.pretrained(config), number, pretrained)
        for group in groups:
            config, epochs, ended = group.config, group.epochs, group.finished
            passed, trained = costs.passed(config), costs.training(config, group.number, epochs)
            begun = group.number if config.epochs else 0
            add("adversarial training", case, passed, begun, trained)
            add("validation", case, passed, epochs, costs.validation(config) * epochs)
            add(attacks, case, passed, ended, attack * ended)
            if battery != "none":
                judged = costs.battery(config, case) * ended
                add(f"battery {battery}", case, passed, ended, judged)
    return [
        Stage(phase, name, counts[name, "expected"], unit, {c: summed[name, c] for c in CASES})
        for name, unit in units.items()
    ]
