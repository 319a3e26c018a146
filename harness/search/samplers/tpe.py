"""Tree-structured Parzen estimators (Watanabe 2023), multivariate: Optuna's."""

import optuna

from harness.search.samplers.context import SamplerContext


class TpeSampler(optuna.samplers.TPESampler):
    """Optuna's multivariate TPE; random trials at the start depend on the budget."""

    def __init__(self, seed: int | None = None, *, n_startup_trials: int = 10) -> None:
        super().__init__(seed=seed, multivariate=True, n_startup_trials=n_startup_trials)

    @classmethod
    def for_search(cls, context: SamplerContext) -> "TpeSampler":
        """See :mod:`harness.search.samplers.context`."""
        return cls(context.seed, n_startup_trials=context.n_startup_trials)
