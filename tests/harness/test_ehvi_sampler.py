"""ehvi in a plain Optuna study, without the rest of the harness."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution

from harness.search.samplers.context import SearchedObjective
from harness.search.samplers.ehvi import EhviSampler, report_epoch
from harness.search.samplers.ehvi.encoding import Axis
from reports.frontier import hypervolume
from saat.feasibility import Preference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ehvi.md"
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
}

UNIT = SearchedObjective(maximise=True, worst=0.0, best=1.0)


def study_of(sampler: Any, directions: Any = ("maximize", "maximize")) -> optuna.Study:
    return optuna.create_study(directions=list(directions), sampler=sampler)


def trade_off(trial: optuna.Trial) -> tuple[float, float]:
    """A trade-off in x, of points that have the best rate; the others are far below."""
    x, rate = trial.suggest_float("x", 0, 1), trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    quality = 1 - abs(np.log10(rate) + 2) / 2
    return quality * (1 - x**2), quality * (1 - (1 - x) ** 2)


def volume(study: optuna.Study) -> float:
    return hypervolume([trial.values for trial in study.trials if trial.values])


def test_the_page_runs_as_it_stands() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["study"].trials) >= 20


@pytest.mark.lengthy
def test_it_beats_random_search_without_being_told_the_space_or_the_scale() -> None:
    def scaled(trial: optuna.Trial) -> tuple[float, float]:
        first, second = trade_off(trial)
        return 1000 * first - 5000, 7 - second  # below 0, and one to minimise

    volumes: dict[type, list[float]] = {EhviSampler: [], optuna.samplers.RandomSampler: []}
    for kind, found in volumes.items():
        for seed in range(3):
            study = study_of(kind(seed=seed), ("maximize", "minimize"))
            study.optimize(scaled, n_trials=22)
            values = np.array([trial.values for trial in study.trials])
            values = np.stack([(values[:, 0] + 5000) / 1000, 7 - values[:, 1]], axis=1)
            found.append(hypervolume(values))
    ours, theirs = volumes.values()
    assert all(a > b for a, b in zip(ours, theirs, strict=True)), volumes


def test_scaled_objectives_give_the_same_suggestions() -> None:
    """Where the ranges are told or seen; those of a minimised objective are the other way round."""

    def minimised(trial: optuna.Trial) -> tuple[float, float]:
        first, second = trade_off(trial)
        return 4 * first, -8 * second  # exact in binary

    told = (UNIT, UNIT), (SearchedObjective(True, 0, 4), SearchedObjective(False, 0, -8))
    for plain_objectives, scaled_objectives in ((None, None), told):
        plain = study_of(EhviSampler(0, objectives=plain_objectives))
        sampler = EhviSampler(0, objectives=scaled_objectives)
        scaled = study_of(sampler, ("maximize", "minimize"))
        plain.optimize(trade_off, n_trials=14)
        scaled.optimize(minimised, n_trials=14)
        assert [t.params for t in plain.trials] == [t.params for t in scaled.trials]


def test_epochs_of_trials_that_were_pruned_teach_the_model() -> None:
    def trained(epochs: bool) -> optuna.Study:
        study = study_of(EhviSampler(0, n_startup_trials=4, search_space=SPACE))

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            trial.set_user_attr("planned_epochs", 4)
            first, second = trade_off(trial)
            for epoch in range(1, 5):
                if epochs:
                    report_epoch(trial, (first * epoch / 4, second * epoch / 4))
                if epoch == 2 and trial.number >= 4:
                    raise optuna.TrialPruned
            return first, second

        study.optimize(objective, n_trials=8)
        return study

    told, untold = trained(True), trained(False)
    assert [len(t.user_attrs["epochs"]) for t in told.trials] == [4] * 4 + [2] * 4
    assert told.ask().suggest_float("x", 0, 1) != untold.ask().suggest_float("x", 0, 1)


def test_start_up_trials_are_spread_over_the_space() -> None:
    """Sixteen of a Sobol sequence: one in every sixteenth of each range."""

    def started(seed: int) -> tuple[list[list[float]], list[bool]]:
        study = study_of(EhviSampler(seed, n_startup_trials=16, search_space=SPACE))
        study.optimize(trade_off, n_trials=17)
        positions = [
            [Axis(d).position(t.params[key]) for key, d in SPACE.items()] for t in study.trials
        ]
        return positions, ["probe" in trial.system_attrs for trial in study.trials]

    (positions, marked), (other, _) = started(3), started(4)
    for column in np.array(positions[:16]).T:
        assert sorted(np.floor(16 * column).tolist()) == list(range(16))
    assert marked == [True] * 16 + [False]
    assert other != positions


def test_trials_that_run_at_the_same_time_go_to_different_points() -> None:
    study = study_of(EhviSampler(0, search_space=SPACE))
    study.optimize(trade_off, n_trials=10)
    points = []
    for _ in range(4):
        trial = study.ask(SPACE)
        points.append([Axis(d).position(trial.params[key]) for key, d in SPACE.items()])
    gaps = np.abs(np.array(points)[:, None] - np.array(points)[None]).max(axis=2)
    assert gaps[~np.eye(4, dtype=bool)].min() > 0.02, points


def test_a_study_that_was_copied_goes_on_as_its_original_would() -> None:
    study = study_of(EhviSampler(5))
    study.optimize(trade_off, n_trials=12)
    copied = study_of(EhviSampler(5))
    for trial in study.trials:
        copied.add_trial(trial)
    for each in (study, copied):
        each.optimize(trade_off, n_trials=2)
    assert [t.params for t in study.trials] == [t.params for t in copied.trials]


def test_what_it_cannot_handle_is_refused_in_one_line() -> None:
    refused = r"^EhviSampler is for studies of two or three objectives, not "
    with pytest.raises(ValueError, match=refused + "1$"):
        optuna.create_study(sampler=EhviSampler()).ask()
    with pytest.raises(ValueError, match=refused + "4$"):
        study_of(EhviSampler(), ["maximize"] * 4).ask()
    for wrong in (SearchedObjective(False, 1, 0), SearchedObjective(True, 1, 0)):
        with pytest.raises(ValueError, match=r"not that of an objective to maximize$"):
            study_of(EhviSampler(objectives=(UNIT, wrong))).ask()
    with pytest.raises(ValueError, match=r"^EhviSampler: objectives: 3, but 2 objectives$"):
        study_of(EhviSampler(objectives=(UNIT,) * 3)).ask()
    for name, preference in (
        ("weights", Preference((1.0,), ())),
        ("bounds", Preference(None, (0.5,))),
    ):
        with pytest.raises(ValueError, match=f"^EhviSampler: {name}: 1, but 2 objectives$"):
            study_of(EhviSampler(preference=preference)).ask()


def test_a_bound_is_kept_more_often_than_without() -> None:
    def kept(sampler: EhviSampler) -> int:
        study = study_of(sampler)
        study.optimize(trade_off, n_trials=16)
        return sum(trial.values[0] >= 0.5 for trial in study.trials[8:])

    bounded = SearchedObjective(True, 0.0, 1.0, bound=0.5)
    assert kept(EhviSampler(0, objectives=(bounded, UNIT))) > kept(EhviSampler(0))


@pytest.mark.slow
def test_other_constraints_are_learned_from_their_violations() -> None:
    """A budget for the sum of two parameters that pull the objectives up."""

    def spent(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if constrained:
            trial.set_constraint("budget", x + y - 0.8)
        return x, y

    shares = []
    for constrained in (True, False):
        study = study_of(EhviSampler(0, objectives=(UNIT, UNIT)))
        study.optimize(spent, n_trials=24)
        values = np.array([trial.values for trial in study.trials])
        allowed = values.sum(axis=1) <= 0.8
        shares.append(allowed[8:].mean())
        if constrained:
            # The best possible is half a square of side 0.8.
            assert hypervolume(values[allowed]) > 0.8 * 0.32
    assert shares[0] > 0.4 > 0.1 > shares[1]


def test_three_objectives_of_any_direction() -> None:
    def three(trial: optuna.Trial) -> tuple[float, float, float]:
        first, second = trade_off(trial)
        return first, second, 3600 * trial.suggest_float("cost", 0, 1) ** 2

    volumes: dict[type, float] = {}
    for kind in (EhviSampler, optuna.samplers.RandomSampler):
        study = study_of(kind(seed=0), ("maximize", "maximize", "minimize"))
        study.optimize(three, n_trials=24)
        values = np.array([trial.values for trial in study.trials])
        values[:, 2] = 1 - values[:, 2] / 3600
        volumes[kind] = hypervolume(values, np.zeros(3))
    ours, theirs = volumes.values()
    assert ours > 1.1 * theirs


def test_an_objective_without_a_known_best_has_the_range_that_was_seen() -> None:
    """The worst value given bounds the volume, and does not stretch the range."""
    seconds = SearchedObjective(False, worst=1e6, best=None)

    def timed(trial: optuna.Trial) -> tuple[float, float]:
        first, second = trade_off(trial)
        return first, 10 - 8 * second

    told, untold = (
        study_of(EhviSampler(0, objectives=given), ("maximize", "minimize"))
        for given in ((UNIT, seconds), (UNIT, SearchedObjective(False, worst=10.0, best=None)))
    )
    for study in (told, untold):
        study.optimize(timed, n_trials=16)
    volumes = [
        hypervolume([(t.values[0], 10 - t.values[1]) for t in study.trials], (0, 0))
        for study in (told, untold)
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.05)


def test_an_objective_that_epochs_do_not_measure_is_learned_from_ends() -> None:
    """Every other trial is pruned after an epoch that measures the first objective alone."""

    def half(trial: optuna.Trial) -> tuple[float, float]:
        first, second = trade_off(trial)
        report_epoch(trial, (first, float("nan")))
        if trial.number % 2:
            raise optuna.TrialPruned
        return first, second

    study = study_of(EhviSampler(0, objectives=(UNIT, UNIT)))
    study.optimize(half, n_trials=30)
    qualities = [1 - abs(np.log10(trial.params["rate"]) + 2) / 2 for trial in study.trials]
    assert np.median(qualities[20:]) > 0.8 > np.median(qualities[:8])


def test_failed_trials_are_kept_away_from() -> None:
    def cliff(trial: optuna.Trial) -> tuple[float, float]:
        values = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        if values[0] > 0.55:
            raise RuntimeError("diverged")
        return values

    study = study_of(EhviSampler(0))
    study.optimize(cliff, n_trials=22, catch=RuntimeError)
    failed = [trial.state == optuna.trial.TrialState.FAIL for trial in study.trials[8:]]
    assert sum(failed) <= 8
    assert max(t.values[0] for t in study.trials if t.values) > 0.5


def test_no_warning_reaches_the_user() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = study_of(EhviSampler(0))
        study.optimize(trade_off, n_trials=10)
    assert len(study.best_trials) >= 1
