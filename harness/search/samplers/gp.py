"""A Gaussian process for each objective: Optuna's."""

import optuna

from harness.search.samplers.context import SamplerContext


class GpSampler(optuna.samplers.GPSampler):
    """Optuna's Gaussian-process sampler; random trials at the start depend on the budget."""

    @classmethod
    def for_search(cls, context: SamplerContext) -> "GpSampler":
        """See :mod:`harness.search.samplers.context`."""
        return cls(seed=context.seed, n_startup_trials=context.n_startup_trials)
