"""Samplers by their name in ``search.sampler``; none is imported before it is asked for.

Each is an Optuna sampler that takes a ``seed``, and works in any Optuna study. What else a sampler
may have for a search is described in :mod:`harness.search.samplers.context`.
"""

from typing import TYPE_CHECKING

from saat.registry import Registry, first_line, subclass_of

if TYPE_CHECKING:
    import optuna

SAMPLERS: "Registry[type[optuna.samplers.BaseSampler]]" = Registry(
    "sampler",
    "saat.samplers",
    {
        "ehvi": "harness.search.samplers.ehvi:EhviSampler",
        "tpe": "harness.search.samplers.tpe:TpeSampler",
        "nsga2": "harness.search.samplers.nsga2:Nsga2Sampler",
        "gp": "harness.search.samplers.gp:GpSampler",
        "random": "optuna.samplers:RandomSampler",
    },
    problem=subclass_of("optuna.samplers:BaseSampler"),
    describe=first_line,
    # Of their docstrings. Importing them imports Optuna, which `saat list` need not wait for.
    summaries={
        "ehvi": "Suggests the point with the largest expected hypervolume improvement "
        "(Emmerich et al. 2006).",
        "tpe": "Optuna's multivariate TPE; random trials at the start depend on the budget.",
        "nsga2": "Optuna's NSGA-II, with parents that are a function of the trials.",
        "gp": "Optuna's Gaussian-process sampler; random trials at the start depend on the budget.",
        "random": "Sampler using random sampling.",
    },
)
