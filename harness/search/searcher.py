"""Suggestions of a sampler, which is told how every trial really ended.

Every suggestion gets a sampler of its own, seeded with (search seed, trial number, attempt), so
the n-th suggestion depends on the trials and epochs before it and on nothing else. A study that is
rebuilt from the journal therefore continues exactly as the first one would have. Trials that were
stopped early are PRUNED in the study and failed ones FAIL; neither has results.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import optuna

from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.experiment.space import Dimension, suggest
from harness.search.prior import guesses
from harness.search.samplers.context import Guess, SamplerContext, SearchedObjective
from harness.search.samplers.registry import SAMPLERS
from harness.search.samplers.trial_attributes import DISCARDED, PLANNED_EPOCHS, report_epoch
from saat.feasibility import Aims

optuna.logging.set_verbosity(optuna.logging.WARNING)

Outcome = Literal["completed", "stopped", "failed"]
_RANDOM_FROM = 10  # attempts of the sampler before suggestions are random


class Searcher:
    """Suggests points of a space and learns from finished trials.

    ``complete`` gives the whole flat setting that is trained at a point, ``prior`` the values of
    searched keys that are thought to be good. By default the aims are clean and robust MAP, both
    maximised. ``study`` has every suggestion and what it came to, as the sampler sees them.
    """

    def __init__(
        self,
        space: Mapping[str, Dimension],
        complete: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        sampler: type[optuna.samplers.BaseSampler],
        seed: int,
        num_samples: int,
        aims: Aims | None = None,
        prior: Mapping[str, Guess] | None = None,
    ) -> None:
        self._space, self._complete = space, complete
        self._base = complete({})
        self._sampler, self._seed = sampler, seed
        self._num_samples, self._prior = num_samples, prior or {}
        self._aims = aims = aims or Aims.of({})
        self._distributions = {key: d.distribution() for key, d in space.items()}
        self.study = optuna.create_study(
            directions=["maximize" if o.maximise else "minimize" for o in aims.objectives]
        )
        self._trials: dict[int, optuna.Trial] = {}

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """That of an experiment, with its sampler and its guesses."""
        search = experiment.search
        return cls(
            experiment.space,
            lambda point: config_at(experiment, point).flat(),
            SAMPLERS[search.sampler],
            experiment.seed,
            search.num_samples,
            experiment.aims,
            guesses(experiment),
        )

    def suggest(self, number: int, attempt: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
        """Point of trial ``number``, and the sampler's notes on it, to be journaled.

        ``attempt`` counts earlier suggestions for the same trial that could not be used. From the
        10th on suggestions are random, so that a small discrete space is searched through.
        """
        kind = self._sampler if attempt < _RANDOM_FROM else optuna.samplers.RandomSampler
        aims = self._aims
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            context = SamplerContext(
                self._seed,
                number,
                attempt,
                self._distributions,
                frozenset(key for key, dimension in self._space.items() if dimension.when),
                self._applies,
                self._num_samples,
                tuple(
                    SearchedObjective(o.maximise, o.reference, o.best, aims.constraints.bound_of(o))
                    for o in aims.objectives
                ),
                self._prior,
                aims.preference,
            )
            self.study.sampler = self.make_sampler(kind, context)
            trial = self.study.ask()
            point = suggest(trial, self._space, self._base)
        trial.set_user_attr(PLANNED_EPOCHS, _epochs(self._complete(point)))
        self._trials[number] = trial
        # deepcopy would copy every trial so far.
        notes = self.study.get_trials(deepcopy=False)[trial.number].system_attrs
        return point, dict(notes)

    def make_sampler(
        self, kind: type[optuna.samplers.BaseSampler], context: SamplerContext
    ) -> optuna.samplers.BaseSampler:
        """The sampler of one suggestion; see :mod:`harness.search.samplers.context`."""
        make: Callable[[SamplerContext], optuna.samplers.BaseSampler] | None
        make = getattr(kind, "for_search", None)
        # Optuna's base class has no constructor, but all of its samplers take a seed.
        return make(context) if make else kind(seed=context.seed)  # type: ignore[call-arg]

    def discard(self, number: int) -> None:
        """Forget the last suggestion for trial ``number``."""
        if trial := self._trials.pop(number, None):  # None where the point was left out
            trial.set_user_attr(DISCARDED, True)
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def observe(self, number: int, values: Sequence[float] | None) -> None:
        """Report the objectives on validation queries after one more epoch of a trial.

        They are in their own units, NaN where validation does not measure an objective, and None
        where the epoch was not validated.
        """
        if trial := self._trials.get(number):
            report_epoch(trial, values)

    def include(self, number: int, point: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Add a running trial, unless the study has it as a suggestion that was not discarded.

        A point outside the space is left out, unless the sampler learns from those too.
        """
        params = None if number in self._trials else self._params(point)
        if params is None:
            return
        distributions = {
            key: self._distributions[key]
            if self._space[key].contains(value)
            else optuna.distributions.FloatDistribution(value, value)
            for key, value in params.items()
        }
        template = optuna.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={PLANNED_EPOCHS: _epochs(self._complete(point))},
            system_attrs=dict(notes),
        )
        self.study.add_trial(template)
        added = self.study.get_trials(deepcopy=False)[-1]
        self._trials[number] = optuna.trial.Trial(self.study, added._trial_id)

    def tell(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Report the end of a trial, with the objectives of a completed one.

        ``violations``: constraint name → amount by which it is violated (≤ 0: it holds).
        """
        trial = self._trials.pop(number, None)
        if trial is None:  # its point was left out
            return
        for name, amount in (violations or {}).items():
            trial.set_constraint(name, amount)
        if outcome == "completed":
            self.study.tell(trial, values=list(values or ()))
        else:
            ended = optuna.trial.TrialState
            self.study.tell(trial, state=ended.PRUNED if outcome == "stopped" else ended.FAIL)

    def _applies(self, key: str, point: Mapping[str, Any]) -> bool:
        dimension = self._space[key]
        return not dimension.when or dimension.applies({**self._base, **point})

    def _params(self, point: Mapping[str, Any]) -> dict[str, Any] | None:
        """The study's parameters of a point; None if it is left out."""
        space = self._space
        params = {key: point[key] for key in space if key in point}
        applicable = {key for key, d in space.items() if d.applies({**self._base, **point})}
        if set(params) == applicable and all(space[k].contains(v) for k, v in params.items()):
            return params
        if not getattr(self._sampler, "learns_outside_space", False):
            return None
        # The paper's default sets its own keys only; the values of the others are in the file.
        config = self._complete(point)
        params = {
            key: config[key] for key, d in space.items() if key in config and d.applies(config)
        }
        choices = [key for key in params if space[key].choice is not None]
        if not all(space[key].contains(params[key]) for key in choices):
            return None
        # A key with a range may have the word auto in the file.
        return {k: v for k, v in params.items() if k in choices or isinstance(v, int | float)}


def _epochs(config: Mapping[str, Any]) -> int:
    return int(config.get("defense.epochs") or 0)
