"""Suggestions: from Optuna, told the truth, or from our own model (``ehvi``).

Every suggestion gets a sampler of its own, seeded with (search seed, trial number, attempt), so
the n-th suggestion depends on the trials and epochs before it and on nothing else: a study that is
rebuilt from the journal goes on exactly as the first one would have. Trials that were stopped
early are told as PRUNED and failed ones as FAIL, never as results.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import optuna

from harness.experiment.space import Dimension, points, suggest
from saat.seeding import derive_seed

if TYPE_CHECKING:  # what the model needs takes seconds to import; other samplers do without
    from harness.search.pareto_model import Complete, ModelledTrial, Objectives, ParetoModel

optuna.logging.set_verbosity(optuna.logging.WARNING)

Outcome = Literal["completed", "stopped", "failed"]
_STATES: dict[Outcome, optuna.trial.TrialState] = {
    "completed": optuna.trial.TrialState.COMPLETE,
    "stopped": optuna.trial.TrialState.PRUNED,
    "failed": optuna.trial.TrialState.FAIL,
}

PROBE = "probe"  # note of a trial that is there to teach the model
_PROBES = 8  # trials begun before the model suggests


class Searcher:
    """Suggests points of a space and learns from finished trials.

    Args:
        space: searched keys.
        complete: the whole flat setting that is trained at a point.
        sampler: ``ehvi``, ``tpe``, ``nsga2``, ``gp`` or ``random``.
        seed: seed of the search.
        budget: number of trials planned; a small one gets fewer random ones at the start.
        floors: of clean and robust MAP; what ``ehvi`` suggests is to lie above them.
    """

    def __init__(
        self,
        space: Mapping[str, Dimension],
        complete: "Complete",
        sampler: str,
        seed: int,
        budget: int,
        floors: "Objectives" = (0.0, 0.0),
    ) -> None:
        self._space, self._complete = space, complete
        self._base = complete({})
        self._sampler, self._seed = sampler, seed
        self._startup = max(4, min(10, budget // 3))
        self._probes = min(_PROBES, budget // 3)
        self._floors = floors
        self._modelled: dict[int, ModelledTrial] = {}
        self._study = optuna.create_study(directions=["maximize", "maximize"])
        self._always_searched = {
            key: distribution
            for key, dimension in sorted(space.items())
            if not dimension.when and not (distribution := dimension.distribution()).single()
        }
        self._trials: dict[int, optuna.Trial] = {}

    def suggest(self, number: int, attempt: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
        """Point of trial ``number``, and the sampler's notes on it, to be journaled.

        ``attempt`` counts earlier suggestions for the same trial that could not be used; from the
        10th on they are random, so that a small discrete space is searched through. The points that
        ``ehvi`` begins with have the note :data:`PROBE`.
        """
        if self._sampler == "ehvi" and attempt < 10:
            chosen, notes = self._modelled_point(number, attempt)
            if chosen is not None:
                self.include(number, chosen, notes)
                return chosen, notes
        name = self._sampler if attempt < 10 else "random"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = self._make_sampler(name, derive_seed(self._seed, number, attempt))
            trial = self._study.ask()
            point = suggest(trial, self._space, self._base)
        self._trials[number] = trial
        self._begin(number, point)
        # Without a copy of every trial so far.
        notes = dict(self._study.get_trials(deepcopy=False)[trial.number].system_attrs)
        for key, value in self._founding(notes).items():
            trial.storage.set_trial_system_attr(trial._trial_id, key, value)
            notes[key] = value
        return point, notes

    def remaining(self) -> Iterator[dict[str, Any]]:
        """Every point of a space without a continuous range, suggested before or not."""
        return points(self._space, self._base)

    def discard(self, number: int) -> None:
        """Forget the last suggestion for trial ``number``."""
        if trial := self._trials.pop(number, None):  # none of a point outside the space
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if number in self._modelled:
            self._model.forget(self._modelled.pop(number))

    def observe(self, number: int, values: "Objectives") -> None:
        """Report the objectives on validation queries after one more epoch of a trial."""
        if number in self._modelled:
            self._modelled[number].epochs.append(values)

    def include(self, number: int, point: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Add a running trial that this study did not suggest.

        The paper's default, or a trial of an earlier driver. A point outside the space is left
        out.
        """
        self._begin(number, point)
        params = {key: point[key] for key in self._space if key in point}
        applicable = {k for k, d in self._space.items() if d.applies({**self._base, **point})}
        if set(params) != applicable or not all(
            self._space[key].contains(value) for key, value in params.items()
        ):
            return
        template = optuna.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=params,
            distributions={key: self._space[key].distribution() for key in params},
            system_attrs={**notes, **self._founding(notes)},
        )
        self._study.add_trial(template)
        added = self._study.get_trials(deepcopy=False)[-1]
        self._trials[number] = optuna.trial.Trial(self._study, added._trial_id)

    def tell(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Report the end of a trial.

        Args:
            number: the trial.
            outcome: how it ended.
            values: the objectives of a completed trial.
            violations: constraint name → amount by which it is violated (≤ 0: it holds).
        """
        if number in self._modelled:
            final = (values[0], values[1]) if outcome == "completed" and values else None
            self._modelled.pop(number).end(final, failed=outcome == "failed")
        trial = self._trials.pop(number, None)
        if trial is None:  # a point outside the space
            return
        for name, amount in (violations or {}).items():
            trial.set_constraint(name, amount)
        if outcome == "completed":
            self._study.tell(trial, values=list(values or ()))
        else:
            self._study.tell(trial, state=_STATES[outcome])

    def _modelled_point(
        self, number: int, attempt: int
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """What the model suggests, or a probe where it knows too little, and the notes on it."""
        teaching = self._model.begun < self._probes
        if teaching or not self._model.ready:  # as a search of two trials never is: these run on
            probe = self._model.probe(derive_seed(self._seed, "probes", attempt))
            return probe, {PROBE: True} if teaching else {}
        return self._model.choose(derive_seed(self._seed, number, attempt)), {}

    @cached_property
    def _model(self) -> "ParetoModel":
        from harness.search.pareto_model import ParetoModel

        return ParetoModel(self._space, self._complete, self._floors)

    def _begin(self, number: int, point: Mapping[str, Any]) -> None:
        if self._sampler == "ehvi" and (trial := self._model.begin(point)) is not None:
            self._modelled[number] = trial

    def _founding(self, notes: Mapping[str, Any]) -> dict[str, int]:
        """What makes a trial that NSGA-II did not suggest one of its first generation.

        The paper's default and trials of earlier searches, say; without it they would never be
        parents.
        """
        key = _Nsga2._get_generation_key()
        return {key: 0} if self._sampler == "nsga2" and key not in notes else {}

    def _make_sampler(self, name: str, seed: int) -> optuna.samplers.BaseSampler:
        seed %= 2**32
        if name == "tpe":
            return _Tpe(self._always_searched, seed, self._startup)
        if name == "nsga2":
            return _Nsga2(seed=seed, population_size=max(4, self._startup))
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=self._startup)
        return optuna.samplers.RandomSampler(seed=seed)


class _Tpe(optuna.samplers.TPESampler):
    """Multivariate TPE that knows which parameters every trial has.

    Optuna finds that out from the trials, all of them again for every new sampler.

    Args:
        always_searched: parameter → distribution, by name; modelled together.
        seed: of this sampler.
        startup: random trials at the start.
    """

    def __init__(
        self,
        always_searched: Mapping[str, optuna.distributions.BaseDistribution],
        seed: int,
        startup: int,
    ) -> None:
        super().__init__(seed=seed, multivariate=True, n_startup_trials=startup)
        self._always_searched = dict(always_searched)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """The parameters without a condition."""
        return self._always_searched


class _Nsga2(optuna.samplers.NSGAIISampler):
    """NSGA-II whose parents are a function of the trials.

    Optuna keeps the parents of a generation, chosen when its first trial is suggested, in the
    study and in another order than it first used: a study that is rebuilt would choose others.
    """

    def get_parent_population(
        self, study: optuna.Study, generation: int
    ) -> list[optuna.trial.FrozenTrial]:
        """The best of the generation before and of its own parents."""
        return self.select_parent(study, generation) if generation else []
