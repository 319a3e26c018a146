"""NSGA-II (Deb et al. 2002): Optuna's, with parents that a rebuilt study has too."""

from collections import Counter

import optuna
from optuna.trial import FrozenTrial, TrialState

from harness.search.samplers.context import SamplerContext


class Nsga2Sampler(optuna.samplers.NSGAIISampler):
    """Optuna's NSGA-II, with parents that are a function of the trials.

    Optuna chooses the parents of a generation when it suggests the first trial, and then keeps them
    in the study in another order. So a study that is rebuilt would choose other parents.

    A trial that was added to the study, such as the paper's default or a trial of an earlier
    search, belongs to the first generation; with Optuna's sampler it would never be a parent.
    """

    @classmethod
    def for_search(cls, context: SamplerContext) -> "Nsga2Sampler":
        """See :mod:`harness.search.samplers.context`."""
        return cls(seed=context.seed, population_size=context.n_startup_trials)

    @classmethod
    def _get_generation_key(cls) -> str:
        return "_Nsga2:generation"  # journals hold it under this name

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """The latest generation, or a new one if the latest has as many trials as a population."""
        key = self._get_generation_key()
        if key not in trial.system_attrs:
            sizes = Counter(map(self._generation_of, _completed(study)))
            latest = max(sizes, default=0)
            generation = latest + (sizes[latest] >= (self.population_size or 0))
            study._storage.set_trial_system_attr(trial._trial_id, key, generation)
            return generation
        return self._generation_of(trial)

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The completed trials of a generation."""
        return [t for t in _completed(study) if self._generation_of(t) == generation]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The best trials of the previous generation and of the parents of that generation."""
        return self.select_parent(study, generation) if generation else []

    def _generation_of(self, trial: FrozenTrial) -> int:
        return int(trial.system_attrs.get(self._get_generation_key(), 0))


def _completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
