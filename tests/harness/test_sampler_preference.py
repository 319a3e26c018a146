"""Where on a known front suggestions go, with and without a preference."""

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution

from harness.search.samplers.context import Guess, SearchedObjective
from harness.search.samplers.ehvi import EhviSampler
from saat.feasibility import Preference

pytestmark = pytest.mark.lengthy

UNIT = SearchedObjective(maximise=True, worst=0.0, best=1.0)
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "y": FloatDistribution(0.0, 1.0),
    "z": FloatDistribution(0.0, 1.0),
}


def concave(trial: optuna.Trial) -> tuple[float, float]:
    """A front from (0.95, 0.3) to (0.3, 0.95); away from y = z = 0.6 both objectives drop."""
    x, y, z = (trial.suggest_float(key, 0, 1) for key in SPACE)
    lost = (y - 0.6) ** 2 + (z - 0.6) ** 2
    return 0.95 - 0.65 * x**2 - lost, 0.95 - 0.65 * (1 - x) ** 2 - lost


def values(preference: Preference | None, seed: int, trials: int = 26) -> np.ndarray:
    """Those after the start-up trials."""
    sampler = EhviSampler(seed, search_space=SPACE, objectives=(UNIT, UNIT), preference=preference)
    study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler)
    study.optimize(concave, n_trials=trials)
    return np.array([trial.values for trial in study.trials[8:]])


def test_every_part_of_the_front_is_reached_without_a_preference() -> None:
    """Its ends are at 0.95, and its middle is at (0.79, 0.79)."""
    for seed in range(2):
        found = values(None, seed)
        assert (found.max(axis=0) > 0.9).all()
        assert found.min(axis=1).max() > 0.76


def test_a_wanted_bound_is_where_most_suggestions_go() -> None:
    """At least 0.9 of the first objective, whose front ends at 0.95."""
    wanted = Preference(None, (0.9, None))
    shares, bests = [], []
    for preference in (wanted, None):
        found = [values(preference, seed) for seed in range(2)]
        shares.append(np.mean([(v[:, 0] >= 0.85).mean() for v in found]))
        bests.append(np.mean([v[v[:, 0] >= 0.9, 1].max(initial=0) for v in found]))
    assert shares[0] > shares[1] + 0.15
    assert bests[0] > bests[1]


@pytest.mark.parametrize("weights", [(1.0, 4.0), (4.0, 1.0)])
def test_weights_draw_suggestions_to_the_best_weighted_sum(weights: tuple[float, float]) -> None:
    best, near = [], []
    for preference in (Preference(weights, (None, None)), None):
        sums = [values(preference, seed) @ weights / 5 for seed in range(2)]
        best.append(np.mean([s.max() for s in sums]))
        near.append(np.mean([(s > 0.82).mean() for s in sums]))
    assert best[0] > best[1]
    assert near[0] > near[1] + 0.1


def test_a_preference_is_no_constraint() -> None:
    """The other turns improve the whole front."""
    found = values(Preference(None, (0.9, None)), 0)
    assert (found[:, 0] < 0.8).sum() >= 3


def test_a_good_prior_helps_at_once_and_a_wrong_one_is_overcome() -> None:
    def lost(prior: dict[str, Guess], trials: slice) -> float:
        """Mean distance of y and z to their best value."""
        distances = []
        for seed in range(2):
            sampler = EhviSampler(seed, search_space=SPACE, objectives=(UNIT, UNIT), prior=prior)
            study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler)
            study.optimize(concave, n_trials=24)
            distances += [
                abs(t.params["y"] - 0.6) + abs(t.params["z"] - 0.6) for t in study.trials[trials]
            ]
        return float(np.mean(distances))

    good = {key: Guess(0.6, 0.5) for key in ("y", "z")}
    wrong = {key: Guess(0.0, 0.5) for key in ("y", "z")}
    assert lost(good, slice(16)) < 0.85 * lost({}, slice(16))
    assert lost(wrong, slice(16)) > lost({}, slice(16))
    assert lost(wrong, slice(16, 24)) < 0.5 * lost({}, slice(8))
