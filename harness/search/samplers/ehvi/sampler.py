"""Expected hypervolume improvement as an Optuna sampler."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from harness.search.samplers.context import (
    Applies,
    Guess,
    SamplerContext,
    SearchedObjective,
)
from harness.search.samplers.ehvi.encoding import Point, SpaceEncoding
from harness.search.samplers.ehvi.model import ParetoModel
from harness.search.samplers.ehvi.prior import Prior
from harness.search.samplers.ehvi.study_trials import Scale, observation
from harness.search.samplers.trial_attributes import DISCARDED, PROBE
from saat.feasibility import Preference
from saat.seeding import derive_seed

_N_STARTUP_TRIALS = 8


class EhviSampler(optuna.samplers.BaseSampler):
    """Suggests the point with the largest expected hypervolume improvement (Emmerich et al. 2006).

    For studies of two or three objectives and a few dozen costly trials. It also learns from
    trials that are running or were pruned, if they report their epochs
    (:func:`~harness.search.samplers.trial_attributes.report_epoch`), and keeps away from trials
    that failed. A suggestion depends on ``seed`` and the study's trials alone.

    The first trials are a scrambled Sobol sequence. They teach the model nearly as much if they
    are pruned halfway; their system attribute ``probe`` is True.

    Args:
        seed: of all suggestions; None: another one each time.
        n_startup_trials: trials before the model suggests.
        search_space: all parameters; None: those that earlier trials had.
        applies: whether a trial has a parameter, given the values of those before it; None: every
            trial has all of them. Optuna ignores a suggested value that is not asked for.
        objectives: range, direction and bound of each objective; None: the ranges of the values
            seen so far. All constants of the model are shares of these ranges.
        prior: guesses of good values, by parameter, also as an attribute. They weigh the first
            suggestions most.
        preference: the part of the front that gets every second suggestion. Weights are of
            objectives in shares of their ranges.
        suggestion: (number, attempt) that seed the next suggestion; None: the trial's number, 0.

    Raises:
        ValueError: at the first suggestion: the study has not two or three objectives, or
            ``objectives`` or ``preference`` contradict it.
    """

    learns_outside_space = True

    def __init__(
        self,
        seed: int | None = None,
        *,
        n_startup_trials: int = _N_STARTUP_TRIALS,
        search_space: Mapping[str, BaseDistribution] | None = None,
        applies: Applies | None = None,
        objectives: Sequence[SearchedObjective] | None = None,
        prior: Mapping[str, Guess] | None = None,
        preference: Preference | None = None,
        suggestion: tuple[int, int] | None = None,
    ) -> None:
        self._seed = int(np.random.default_rng().integers(2**32)) if seed is None else seed
        self._n_startup_trials = n_startup_trials
        self._space = None if search_space is None else dict(search_space)
        self._applies = applies
        self._objectives, self.prior, self._preference = objectives, prior or {}, preference
        self._suggestion = suggestion
        self._independent = optuna.samplers.RandomSampler(self._seed % 2**32)
        self.candidates: Sequence[Point] | None = None  # of a tabular benchmark: its points

    @classmethod
    def for_search(cls, context: SamplerContext) -> "EhviSampler":
        """See :mod:`harness.search.samplers.context`."""
        return cls(
            context.search_seed,
            n_startup_trials=min(_N_STARTUP_TRIALS, context.num_samples // 3),
            search_space=context.space,
            applies=context.applies if context.conditional else None,
            objectives=context.objectives,
            prior=context.prior,
            preference=context.preference,
            suggestion=(context.number, context.attempt),
        )

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Refuse a study that it cannot handle, and mark a start-up trial."""
        self._check(study)
        seed = derive_seed(self._seed, *self._suggestion_of(trial))
        self._independent = optuna.samplers.RandomSampler(seed % 2**32)
        # A trial that was added has its parameters already.
        if len(_others(study, trial)) < self._n_startup_trials and not trial.params:
            study._storage.set_trial_system_attr(trial._trial_id, PROBE, True)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The given search space, or the parameters of all trials, by name."""
        if self._space is not None:
            return self._space
        known = {k: d for t in _others(study, trial) for k, d in t.distributions.items()}
        return {key: known[key] for key in sorted(known) if not known[key].single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The suggested point; empty if the space is empty or every candidate has been tried."""
        if not search_space:
            return {}
        trials = _others(study, trial)
        encoding = SpaceEncoding(search_space, self._applies)
        scale = Scale(study.directions, self._objectives, trials)
        observations = [observation(other, scale, search_space) for other in trials]
        prior = Prior(search_space, self.prior)
        model = ParetoModel(encoding, observations, scale.goal(self._preference), prior)
        number, attempt = self._suggestion_of(trial)
        own = study.get_trials(deepcopy=False)[trial.number]
        if PROBE not in own.system_attrs and model.ready:
            seed = derive_seed(self._seed, number, attempt)
            return model.suggest(seed, self.candidates) or {}
        sequence = qmc.Sobol(len(search_space), seed=derive_seed(self._seed, "probes", attempt))
        with warnings.catch_warnings():
            # The balance is not perfect if the number of points is no power of two.
            warnings.simplefilter("ignore", UserWarning)
            shares = sequence.random(len(trials) + 1)[-1:]
        # Every other one is drawn from the prior.
        return encoding.decode((prior.quantiles(shares) if len(trials) % 2 else shares)[0])

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value: for a parameter that no earlier trial had."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _suggestion_of(self, trial: FrozenTrial) -> tuple[int, int]:
        return self._suggestion or (trial.number, 0)

    def _check(self, study: optuna.Study) -> None:
        count = len(study.directions)
        if count not in (2, 3):
            raise ValueError(f"EhviSampler is for studies of two or three objectives, not {count}")
        preference = self._preference or Preference(None, ())
        for name, given in (
            ("objectives", self._objectives),
            ("weights", preference.weights),
            ("bounds", preference.bounds),
        ):
            if given and len(given) != count:
                raise ValueError(f"EhviSampler: {name}: {len(given)}, but {count} objectives")
        for direction, one in zip(study.directions, self._objectives or (), strict=False):
            maximise = direction == StudyDirection.MAXIMIZE
            best = one.best if one.best is not None else one.worst + (1 if maximise else -1)
            if one.maximise != maximise or best == one.worst or (one.worst < best) != maximise:
                raise ValueError(
                    f"EhviSampler: {one}: not that of an objective to {direction.name.lower()}"
                )


def _others(study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
    """The trials that were begun before or beside ``trial``."""
    return [
        other
        for other in study.get_trials(deepcopy=False)
        if other.number != trial.number
        and other.state != TrialState.WAITING
        and DISCARDED not in other.user_attrs
    ]
