"""How important each searched key is for each objective, measured by PED-ANOVA.

PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255) compares where the best trials lie in the range
of a key with where all trials lie: the Pearson divergence of the two densities. It corrects for a
sampler that prefers one part of the space. Optuna implements it.
"""

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.experiment.config import Experiment
from harness.experiment.space import Dimension
from harness.journal.state import SearchState
from harness.search.recommendation import usable
from reports.explanation import KeyImportance

FEWEST_TRIALS = 20  # below, no ranking of keys could be told from chance
_BEST = 0.1  # share of the trials whose places are compared with those of all
_FEWEST_BEST = 5
_RESAMPLES = 40
_QUANTILES = (0.1, 0.9)


def search_importances(experiment: Experiment, state: SearchState) -> list[KeyImportance]:
    """The importances in a search, from its completed explore trials."""
    aims, space = experiment.aims, experiment.space
    done = [record for record in state.of_phase("explore") if usable(aims, record)]
    settings = [record.config.flat() for record in done]
    values = aims.oriented([aims.values(record.metrics) for record in done])
    return key_importances(space, settings, values, aims.names)


def key_importances(
    space: Mapping[str, Dimension],
    settings: Sequence[Mapping[str, Any]],
    values: ArrayLike,
    objectives: Sequence[str],
) -> list[KeyImportance]:
    """The share of each key for each objective, with quantiles over resamples of the trials.

    Keys under ``when`` are left out, because not all trials have them. So are objectives that are
    equal in all trials, and trials outside the space, such as a paper's default.

    Args:
        space: of the search.
        settings: of the trials, by dotted keys.
        values: of the trials, ``(n, m)``, oriented: larger is better.
        objectives: names of the m columns.

    Returns:
        Nothing if fewer than `FEWEST_TRIALS` trials, or no two keys, are left.
    """
    # No command but the report needs Optuna here.
    from optuna.trial import create_trial

    searched = {key: d for key, d in space.items() if not d.when and len(set(d.samples())) > 1}
    inside = [
        row
        for row, setting in enumerate(settings)
        if all(key in setting and d.contains(setting[key]) for key, d in searched.items())
    ]
    if len(inside) < FEWEST_TRIALS or len(searched) < 2:
        return []
    distributions = {key: d.distribution() for key, d in searched.items()}
    params = [{key: settings[row][key] for key in searched} for row in inside]
    table = np.asarray(values, dtype=np.float64)[inside]
    found = []
    for name, column in zip(objectives, table.T, strict=True):
        if np.ptp(column) == 0:
            continue
        trials = [
            create_trial(params=p, distributions=distributions, value=-float(value))
            for p, value in zip(params, column, strict=True)
        ]
        shares = _shares(trials, list(searched))
        lows, highs = _spread(trials, list(searched))
        found += [
            KeyImportance(key, name, float(share), float(low), float(high))
            for key, share, low, high in zip(searched, shares, lows, highs, strict=True)
        ]
    return found


def _spread(trials: Sequence[Any], keys: Sequence[str]) -> NDArray[np.float64]:
    """Lower and upper quantiles of the shares over resamples of the trials, ``(2, K)``."""
    rng = np.random.default_rng(0)
    drawn = (rng.integers(len(trials), size=len(trials)) for _ in range(_RESAMPLES))
    resampled = [_shares([trials[i] for i in rows], keys) for rows in drawn]
    return np.asarray(np.quantile(resampled, _QUANTILES, axis=0), dtype=np.float64)


def _shares(trials: Sequence[Any], keys: Sequence[str]) -> NDArray[np.float64]:
    """Shares of the keys, ``(K,)``; equal ones where the divergence of all of them is 0."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.add_trials(trials)
    best = max(_BEST, min(0.5, _FEWEST_BEST / len(trials)))
    # Optuna 4 has another name for it.
    known = inspect.signature(PedAnovaImportanceEvaluator).parameters
    name = "target_quantile" if "target_quantile" in known else "baseline_quantile"
    share: dict[str, Any] = {name: best}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = PedAnovaImportanceEvaluator(**share)
    raw = evaluator.evaluate(study, params=list(keys))
    weights = np.array([raw[key] for key in keys], dtype=np.float64)
    total = math.fsum(weights)
    return weights / total if total else np.full(len(keys), 1 / len(keys))
