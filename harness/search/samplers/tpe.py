"""Tree-structured Parzen estimators (Watanabe 2023), multivariate: Optuna's."""

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution

from harness.search.samplers.context import SamplerContext


class TpeSampler(optuna.samplers.TPESampler):
    """Optuna's multivariate TPE, which may know the parameters that every trial has.

    Without ``search_space`` Optuna looks through all trials again for every new sampler.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        n_startup_trials: int = 10,
        search_space: Mapping[str, BaseDistribution] | None = None,
    ) -> None:
        super().__init__(seed=seed, multivariate=True, n_startup_trials=n_startup_trials)
        self._known_space = None if search_space is None else dict(search_space)

    @classmethod
    def for_search(cls, context: SamplerContext) -> "TpeSampler":
        """See :mod:`harness.search.samplers.context`."""
        space = {
            key: distribution
            for key, distribution in sorted(context.space.items())
            if key not in context.conditional and not distribution.single()
        }
        return cls(context.seed, n_startup_trials=context.n_startup_trials, search_space=space)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are modelled together."""
        if self._known_space is None:
            return super().infer_relative_search_space(study, trial)
        return self._known_space
