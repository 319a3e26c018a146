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

from harness.search.samplers.context import Applies, SamplerContext
from harness.search.samplers.ehvi.encoding import Array, Point, SpaceEncoding
from harness.search.samplers.ehvi.forecast import Observation
from harness.search.samplers.ehvi.model import ParetoModel
from harness.search.samplers.trial_attributes import DISCARDED, EPOCHS, PLANNED_EPOCHS, PROBE
from saat.seeding import derive_seed

Ranges = tuple[tuple[float, float], tuple[float, float]]
_N_STARTUP_TRIALS = 8


class EhviSampler(optuna.samplers.BaseSampler):
    """Suggests the point with the largest expected hypervolume improvement (Emmerich et al. 2006).

    For studies of two objectives and a few dozen costly trials. It also learns from trials that
    are running or were pruned, if they report their epochs
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
        objective_ranges: (worst, best) value of each objective; None: of those seen so far. All
            constants of the model are shares of these ranges.
        lower_bounds: of both objectives (upper bounds where one is minimised). Volume beyond a
            bound does not count. The sampler handles no other constraints.
        suggestion: (number, attempt) that seed the next suggestion; None: the trial's number, 0.

    Raises:
        ValueError: at the first suggestion: the study has not two objectives, ``objective_ranges``
            contradict its directions, or a trial has constraints and there are no
            ``lower_bounds``.
    """

    learns_outside_space = True

    def __init__(
        self,
        seed: int | None = None,
        *,
        n_startup_trials: int = _N_STARTUP_TRIALS,
        search_space: Mapping[str, BaseDistribution] | None = None,
        applies: Applies | None = None,
        objective_ranges: Ranges | None = None,
        lower_bounds: tuple[float, ...] | None = None,
        suggestion: tuple[int, int] | None = None,
    ) -> None:
        self._seed = int(np.random.default_rng().integers(2**32)) if seed is None else seed
        self._n_startup_trials = n_startup_trials
        self._space = None if search_space is None else dict(search_space)
        self._applies = applies
        self._ranges, self._lower_bounds = objective_ranges, lower_bounds
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
            applies=context.applies,
            objective_ranges=((0.0, 1.0), (0.0, 1.0)),
            lower_bounds=tuple(o.worst if o.bound is None else o.bound for o in context.objectives),
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
        observations, lower_bounds = self._scaled(study, trials, search_space)
        model = ParetoModel(encoding, observations, lower_bounds)
        number, attempt = self._suggestion_of(trial)
        own = study.get_trials(deepcopy=False)[trial.number]
        if PROBE not in own.system_attrs and model.ready:
            seed = derive_seed(self._seed, number, attempt)
            return model.suggest(seed, self.candidates) or {}
        sequence = qmc.Sobol(len(search_space), seed=derive_seed(self._seed, "probes", attempt))
        with warnings.catch_warnings():
            # The balance is not perfect if the number of points is no power of two.
            warnings.simplefilter("ignore", UserWarning)
            return encoding.decode(sequence.random(len(trials) + 1)[-1])

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
        if len(study.directions) != 2:
            raise ValueError(
                f"EhviSampler is for studies of two objectives, not {len(study.directions)}"
            )
        for direction, (worst, best) in zip(study.directions, self._ranges or (), strict=False):
            if worst == best or (worst < best) != (direction == StudyDirection.MAXIMIZE):
                raise ValueError(
                    f"EhviSampler: objective_ranges: ({worst:g}, {best:g}): (worst, best) of an "
                    f"objective to {direction.name.lower()}"
                )
        constrained = [t.number for t in study.get_trials(deepcopy=False) if t.constraints]
        if constrained and self._lower_bounds is None:
            raise ValueError(
                f"EhviSampler: trial {constrained[0]} has constraints; give bounds of the "
                "objectives as lower_bounds, or take TPESampler for other constraints"
            )

    def _scaled(
        self, study: optuna.Study, trials: Sequence[FrozenTrial], space: Mapping[str, Any]
    ) -> tuple[list[Observation], Array]:
        """The trials and the lower bounds in shares of the objectives' ranges."""
        worst, best = np.array(self._ranges or _seen_ranges(study, trials), dtype=float).T

        def scaled(values: Any) -> Array:
            return np.asarray((np.array(values, dtype=float) - worst) / (best - worst))

        observations = [
            Observation(
                {key: value for key, value in trial.params.items() if key in space},
                scaled(np.reshape(list(_measured(trial).values()), (-1, 2))),
                trial.user_attrs.get(PLANNED_EPOCHS, 0),
                scaled(trial.values) if trial.state == TrialState.COMPLETE else None,
                running=trial.state == TrialState.RUNNING,
                failed=trial.state == TrialState.FAIL,
                measured=tuple(_measured(trial)),
            )
            for trial in trials
        ]
        return observations, scaled(self._lower_bounds) if self._lower_bounds else np.zeros(2)


def _others(study: optuna.Study, trial: FrozenTrial) -> list[FrozenTrial]:
    """The trials that were begun before or beside ``trial``."""
    return [
        other
        for other in study.get_trials(deepcopy=False)
        if other.number != trial.number
        and other.state != TrialState.WAITING
        and DISCARDED not in other.user_attrs
    ]


def _measured(trial: FrozenTrial) -> dict[int, list[float]]:
    """Epochs, from 1, that were measured, and their objectives."""
    rows = enumerate(trial.user_attrs.get(EPOCHS, ()), start=1)
    return {epoch: values for epoch, values in rows if values is not None}


def _seen_ranges(study: optuna.Study, trials: Sequence[FrozenTrial]) -> Ranges:
    """(worst, best) finite value of each objective in a study's trials."""
    rows = [values for t in trials for values in (*_measured(t).values(), t.values or ())]
    values = np.array([row for row in rows if len(row)], dtype=float).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    ranges = []
    for column, direction in zip(values.T, study.directions, strict=True):
        low, high = (float(column.min()), float(column.max())) if len(column) else (0.0, 1.0)
        if low == high:
            high = low + 1.0
        ranges.append((low, high) if direction == StudyDirection.MAXIMIZE else (high, low))
    return ranges[0], ranges[1]
