"""What every sampler of the registry does, in a plain Optuna study and in a search."""

import warnings
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from harness.experiment.space import Dimension
from harness.search.samplers.registry import SAMPLERS
from harness.search.searcher import Searcher

MANY = 14  # more than any sampler's random trials at the start
SPACE = {
    "bits": Dimension.model_validate({"choice": [16, 32]}),
    "weights": Dimension.model_validate({"choice": ["saat", "eq11", "cgat"]}),
    "lambda": Dimension.model_validate(
        {"float": [0.1, 10.0], "log": True, "when": {"weights": ["saat", "cgat"]}}
    ),
    "eps": Dimension.model_validate({"float": [0.01, 0.06], "step": 0.005}),
    "steps": Dimension.model_validate({"int": [1, 10]}),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def study_of(name: str, seed: int = 0) -> optuna.Study:
    kind: Any = SAMPLERS[name]
    return optuna.create_study(directions=["maximize", "minimize"], sampler=kind(seed=seed))


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Floats, whole numbers, words, logarithms, and a parameter that only half of the trials have.

    Every fifth trial is pruned and every seventh fails.
    """
    word = trial.suggest_categorical("word", ["a", "b", None])
    x = trial.suggest_float("x", 0.0, 1.0)
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    steps = trial.suggest_int("steps", 1, 9, step=2)
    more = trial.suggest_float("more", 0, 2, step=0.5) if word == "a" else 0.0
    if trial.number % 5 == 4:
        raise optuna.TrialPruned
    if trial.number % 7 == 6:
        raise RuntimeError("out of memory")
    return x + more, steps * rate


@pytest.mark.lengthy
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_gives_the_same_trials_in_a_plain_study(name: str) -> None:
    first, again, other = (study_of(name, seed) for seed in (1, 1, 2))
    for study in (first, again, other):
        study.optimize(objective, n_trials=MANY, catch=RuntimeError)
    states = [trial.state for trial in first.trials]
    assert (states.count(TrialState.PRUNED), states.count(TrialState.FAIL)) == (2, 2)
    assert [t.params for t in first.trials] == [t.params for t in again.trials]
    assert [t.params for t in first.trials] != [t.params for t in other.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_of_failed_trials_goes_on(name: str) -> None:
    def fails(trial: optuna.Trial) -> tuple[float, float]:
        trial.suggest_float("x", 0.0, 1.0)
        raise RuntimeError("no memory at all")

    study = study_of(name)
    study.optimize(fails, n_trials=MANY, catch=RuntimeError)
    assert len({trial.params["x"] for trial in study.trials}) == MANY


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_space_of_one_point_is_no_error(name: str) -> None:
    def constant(trial: optuna.Trial) -> tuple[float, float]:
        return trial.suggest_float("x", 0.5, 0.5), trial.suggest_int("n", 3, 3)

    study = study_of(name)
    study.optimize(constant, n_trials=MANY)
    assert [trial.params for trial in study.trials] == [{"x": 0.5, "n": 3}] * MANY


def values_of(point: dict[str, Any]) -> tuple[float, float]:
    return point["eps"] * 10 + point.get("lambda", 0) / 100, 0.5 - point["steps"] / 20


def searcher(name: str) -> Searcher:
    return Searcher(SPACE, lambda point: {"bits": 16, **point}, SAMPLERS[name], 0, MANY)


@pytest.mark.lengthy
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_search_that_is_rebuilt_suggests_what_the_first_one_did(name: str) -> None:
    """At any time, with trials that were stopped, that failed or run, and a key with conditions."""
    found, history = searcher(name), list[tuple[str, tuple[Any, ...]]]()

    def do(call: str, *arguments: Any) -> None:
        getattr(found, call)(*arguments)
        history.append((call, arguments))

    for number in range(MANY):
        point, notes = found.suggest(number)
        assert ("lambda" in point) == (point["weights"] != "eq11")
        assert all(SPACE[key].contains(value) for key, value in point.items())
        if number % 4 == 3 or number == MANY - 1:
            again = searcher(name)
            for call, arguments in history:
                getattr(again, call)(*arguments)
            assert again.suggest(number) == (point, notes), number
        history.append(("include", (number, point, notes)))
        clean, robust = values_of(point)
        do("observe", number, (0.9 * clean, 0.9 * robust))
        if number % 5 == 1:
            do("tell", number, "stopped")
        elif number % 5 == 2:
            do("tell", number, "failed")
        elif number != 8:  # this one runs on
            do("tell", number, "completed", (clean, robust), {"val/clean_map": 0.2 - clean})


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_search_in_which_every_trial_fails_goes_on(name: str) -> None:
    found = searcher(name)
    for number in range(MANY):
        found.suggest(number)
        found.tell(number, "failed")
    states = [trial.state for trial in found.study.trials]
    assert states == [TrialState.FAIL] * MANY


@pytest.mark.lengthy
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_in_a_database_is_taken_up_by_another_process(name: str, tmp_path: Any) -> None:
    """As another sampler object sees it, suggestions lie within the space."""
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    made = optuna.create_study(storage=storage, study_name="s", directions=["maximize", "minimize"])
    kind: Any = SAMPLERS[name]
    for _ in range(2):
        study = optuna.load_study(storage=storage, study_name="s", sampler=kind(seed=0))
        study.optimize(objective, n_trials=6, catch=RuntimeError)
    trials: list[FrozenTrial] = made.trials
    assert len(trials) == 12
    for trial in trials:  # refuses a value outside its distribution
        create_trial(values=[0, 0], params=trial.params, distributions=trial.distributions)
