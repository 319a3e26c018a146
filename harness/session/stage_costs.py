"""What the stages of a search, a training or a comparison cost in forward passes (F)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import optuna

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import CORNERS, config_at, corners, paper_defaults, undefended
from harness.experiment.space import suggest
from harness.search.plan import Plan, fixed_trainings
from harness.session.search_size import SearchSize
from harness.session.trial_costs import Case, Passed, TrialCosts
from saat.errors import InputError
from saat.work import Work

# Random settings of a space, whose mean cost stands for a sampled trial.
_DRAWN = 128
# Work by what images pass.
Costs = dict[Passed, Work]


@dataclass(frozen=True)
class Survival:
    """Which share of trials goes on after which epoch; all of them where there are no ``rungs``."""

    rungs: Sequence[tuple[int, float]] = ()

    def epochs(self, planned: int) -> float:
        """Mean number of epochs of trainings that have ``planned``."""
        total, at, share = 0.0, 0, 1.0
        for epoch, left in self.rungs:
            if epoch >= planned:
                break
            total, at, share = total + share * (epoch - at), epoch, left
        return total + share * (planned - at)

    def finished(self, planned: int) -> float:
        """Share of them that reaches the end."""
        return next((left for epoch, left in reversed(self.rungs) if epoch < planned), 1.0)


class TrialGroup(NamedTuple):
    """Trials of one setting: how many, and how many of them stop on the way."""

    number: float
    config: TrialConfig
    survival: Survival = Survival()

    @property
    def epochs(self) -> float:
        """Of all of them together."""
        return self.number * self.survival.epochs(self.config.epochs)

    @property
    def finished(self) -> float:
        """How many reach the end."""
        return self.number * self.survival.finished(self.config.epochs)


class PhaseTrials(NamedTuple):
    """The trials of a phase, and the models that are pretrained for them."""

    trials: Sequence[TrialGroup]
    models: Sequence[TrialGroup]


@dataclass(frozen=True)
class Stage:
    """A row of the plan.

    Attributes:
        phase: ``explore``, ``confirm``, ``train`` or ``compare``.
        name: what is done.
        count: how often, as expected.
        unit: what is counted.
        costs: ``expected``, if as many trials go on as the scheduler means to keep; ``least``, if
            every sampled trial stops at its first rung and has the cheapest setting; ``most``, if
            none stops and all have the dearest one.
    """

    phase: str
    name: str
    count: float
    unit: str
    costs: Mapping[Case, Costs]

    def passes(self, case: Case = "expected") -> float:
        """F of the stage."""
        return sum(work.passes for work in self.costs[case].values())


def stages_given(experiment: Experiment, plan: Plan, costs: TrialCosts) -> list[Stage]:
    """Stages of a training or a comparison, which are known beforehand."""
    planned = list(fixed_trainings(experiment, plan))
    models = {(str(p.config.model), str(p.config.pretrain), p.seed): p.config for p in planned}
    known = PhaseTrials(
        [TrialGroup(1, training.config) for training in planned],
        [TrialGroup(1, config) for config in models.values()],
    )
    return _stages(plan, costs, {"least": known, "expected": known, "most": known}, experiment)


def stages_of_search(experiment: Experiment, size: SearchSize, costs: TrialCosts) -> list[Stage]:
    """Stages of exploring and confirming."""
    settings = _Settings.of(experiment, costs)
    explored = _explored(size, settings)
    confirmed = _confirmed(experiment, size, settings) if size.confirmed else None
    stages = _stages("explore", costs, explored, experiment)
    return stages + (_stages("confirm", costs, confirmed, experiment) if confirmed else [])


def searched_configs(experiment: Experiment) -> list[TrialConfig]:
    """Settings at the corners of the space, the experiment's own and the published ones."""
    base = experiment.config.flat()
    ends = _possible(experiment, islice(corners(experiment.space, base), CORNERS))
    published = [config_at(experiment, point) for point in paper_defaults(experiment)]
    return [*ends, experiment.config, *published]


class _Settings(NamedTuple):
    """Settings of a space: cheapest, random ones of equal weight, dearest; the published ones."""

    least: list[TrialConfig]
    expected: list[TrialConfig]
    most: list[TrialConfig]
    published: list[TrialConfig]

    @classmethod
    def of(cls, experiment: Experiment, costs: TrialCosts) -> "_Settings":
        def training(config: TrialConfig) -> float:
            epoch = costs.epoch(config) + costs.validation(config)
            return (costs.pretraining(config) + epoch * config.epochs).passes

        space, base = experiment.space, experiment.config.flat()
        ends = _possible(experiment, islice(corners(space, base), CORNERS))
        drawn = _possible(experiment, _drawn(experiment)) if space else [experiment.config]
        ends = sorted([*ends, *drawn], key=training)
        published = [config_at(experiment, point) for point in paper_defaults(experiment)]
        return cls(ends[:1], drawn, ends[-1:], published)


def _drawn(experiment: Experiment) -> Iterable[dict[str, Any]]:
    """Random points of the space, the same in every process."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    base = experiment.config.flat()
    return [suggest(study.ask(), experiment.space, base) for _ in range(_DRAWN)]


def _possible(experiment: Experiment, points: Iterable[Mapping[str, Any]]) -> list[TrialConfig]:
    configs = []
    for point in points:
        with suppress(InputError):  # a search skips it
            configs.append(config_at(experiment, point))
    return configs or [experiment.config]


def _shared(count: float, configs: list[TrialConfig], *survival: Survival) -> list[TrialGroup]:
    """So many trials, in equal parts of these settings."""
    return [TrialGroup(count / len(configs), config, *survival) for config in configs]


def _explored(size: SearchSize, settings: _Settings) -> dict[Case, PhaseTrials]:
    # Those of earlier searches do not run again.
    defaults = [TrialGroup(1, config) for config in settings.published[-size.defaults :]]
    defaults = defaults[: size.defaults]
    rungs = [(epoch, left / size.sampled) for epoch, left in size.rungs if size.sampled]
    models = size.explore_pretrained

    def case(configs: list[TrialConfig], survival: Survival, models: int) -> PhaseTrials:
        sampled = _shared(size.sampled, configs, survival)
        return PhaseTrials(defaults + sampled, _shared(models, configs))

    at_once = Survival([(epoch, 0.0) for epoch, _ in rungs[:1]])
    return {
        "least": case(settings.least, at_once, min(1, models)),
        "expected": case(settings.expected, Survival(rungs), models),
        "most": case(settings.most, Survival(), models),
    }


def _confirmed(
    experiment: Experiment, size: SearchSize, settings: _Settings
) -> dict[Case, PhaseTrials]:
    """Recommended settings, and for every bit length among them default and undefended."""
    seeds = experiment.confirm.seeds
    others = settings.published[:1]
    if experiment.confirm.undefended:
        others = [*others, undefended(experiment.config)]
    recommended = size.confirmed - len(others)
    bits = experiment.space.get("model.bits")
    lengths = max(1, min(len(set(bits.samples())) if bits else 1, recommended))

    def case(
        configs: list[TrialConfig], recommended: int, lengths: int, models: int
    ) -> PhaseTrials:
        beside = [TrialGroup(lengths * seeds, config) for config in others]
        return PhaseTrials(
            [*_shared(recommended * seeds, configs), *beside], _shared(models, configs)
        )

    models = size.confirm_pretrained
    return {
        "least": case(settings.least, 0, 1, seeds if others else 0),  # none is above chance
        "expected": case(settings.expected, recommended, 1, models),
        "most": case(settings.most, recommended, lengths, max(models, lengths * seeds)),
    }


# (how often, what images pass, work each time)
_Part = tuple[float, Passed, Work]


def _stages(
    phase: str, costs: TrialCosts, cases: Mapping[Case, PhaseTrials], experiment: Experiment
) -> list[Stage]:
    expected = cases["expected"]

    def stage(
        name: str, count: float, unit: str, parts: Callable[[PhaseTrials], Iterable[_Part]]
    ) -> Stage:
        return Stage(
            phase, name, count, unit, {case: _summed(parts(of)) for case, of in cases.items()}
        )

    def pretraining(of: PhaseTrials) -> Iterable[_Part]:
        for count, config, _ in of.models:
            yield count, costs.pretrained(config), costs.pretraining(config)

    def training(of: PhaseTrials) -> Iterable[_Part]:
        for trials in of.trials:
            config, passed = trials.config, costs.passed(trials.config)
            yield trials.number, passed, costs.start(config)
            yield trials.epochs, passed, costs.epoch(config)

    def validation(of: PhaseTrials) -> Iterable[_Part]:
        return ((t.epochs, costs.passed(t.config), costs.validation(t.config)) for t in of.trials)

    def attacks(of: PhaseTrials) -> Iterable[_Part]:
        work = costs.reattack if phase == "explore" else costs.test
        return ((t.finished, costs.passed(t.config), work) for t in of.trials)

    trained = sum(trials.number for trials in expected.trials if trials.config.epochs)
    epochs = sum(trials.epochs for trials in expected.trials)
    finished = sum(trials.finished for trials in expected.trials)
    stages = [
        stage("pretraining", sum(m.number for m in expected.models), "model", pretraining),
        stage("adversarial training", trained, "trial", training),
        stage("validation", epochs, "epoch", validation),
        stage("re-attack" if phase == "explore" else "test attacks", finished, "trial", attacks),
    ]
    if phase == "explore" or experiment.confirm.battery == "none":
        return stages
    battery = {
        case: _summed(
            (t.number, costs.passed(t.config), costs.battery(t.config, case)) for t in of.trials
        )
        for case, of in cases.items()
    }
    name = f"battery {experiment.confirm.battery}"
    return [*stages, Stage(phase, name, finished, "trial", battery)]


def _summed(parts: Iterable[_Part]) -> Costs:
    costs: Costs = {}
    for count, passed, work in parts:
        costs[passed] = costs.get(passed, Work()) + work * count
    return costs
