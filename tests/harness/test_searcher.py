"""Optuna told the truth, and suggestions that depend on the history alone."""

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.experiment.space import Dimension
from harness.search.samplers.registry import SAMPLERS
from harness.search.samplers.trial_attributes import PROBE
from harness.search.searcher import Outcome, Searcher
from saat.seeding import derive_seed

SPACE = {
    "model.bits": Dimension.model_validate({"choice": [16, 32]}),
    "defense.lambda": Dimension.model_validate({"float": [0.1, 10.0], "log": True}),
    "defense.steps": Dimension.model_validate({"int": [1, 10]}),
}
BASE = {"model.bits": 16, "defense.lambda": 1.0, "defense.steps": 7}


def complete(point: Mapping[str, Any]) -> dict[str, Any]:
    return {**BASE, **point}


COMPLETE, PRUNED, FAIL = (
    optuna.trial.TrialState.COMPLETE,
    optuna.trial.TrialState.PRUNED,
    optuna.trial.TrialState.FAIL,
)
History = list[tuple[str, Any]]


def searcher(sampler: str = "tpe", budget: int = 12) -> Searcher:
    return Searcher(SPACE, complete, SAMPLERS[sampler], 0, budget)


def values_of(point: dict[str, Any]) -> tuple[float, float]:
    return 1 / (1 + point["defense.lambda"]), point["defense.steps"] / 10


def tell(to: Searcher, number: int, outcome: Outcome, point: dict[str, Any]) -> None:
    if outcome == "completed":
        to.tell(number, outcome, values_of(point), {"val/clean_map": 0.4 - values_of(point)[0]})
    else:
        to.tell(number, outcome)


def rebuilt(sampler: str, history: History) -> Searcher:
    """A searcher that learns a history as a resumed search does."""
    fresh = searcher(sampler)
    for kind, item in history:
        if kind == "suggested":
            fresh.include(*item)
        elif kind == "epoch":
            fresh.observe(*item)
        else:
            tell(fresh, *item)
    return fresh


def states(of: Searcher) -> list[optuna.trial.TrialState]:
    return [trial.state for trial in of.study.trials]


def test_stopped_trials_are_pruned_and_failed_ones_fail() -> None:
    found = searcher()
    for number, outcome in enumerate(("completed", "stopped", "failed")):
        point, _ = found.suggest(number)
        tell(found, number, outcome, point)  # type: ignore[arg-type]
    assert states(found) == [COMPLETE, PRUNED, FAIL]
    assert [trial.values is not None for trial in found.study.trials] == [True, False, False]


def test_trials_of_an_earlier_driver_end_as_their_own_would() -> None:
    found = searcher()
    for number, outcome in enumerate(("completed", "stopped", "failed")):
        found.include(number, {**BASE, "defense.steps": number + 1}, {})
        tell(found, number, outcome, BASE)  # type: ignore[arg-type]
    assert states(found) == [COMPLETE, PRUNED, FAIL]
    assert [t.params["defense.steps"] for t in found.study.trials] == [1, 2, 3]


def test_only_completed_trials_are_on_the_studys_front() -> None:
    found = searcher()
    for number, outcome in enumerate(("stopped", "completed", "failed")):
        found.suggest(number)
        found.tell(number, outcome, (0.5, 0.5) if outcome == "completed" else None)  # type: ignore[arg-type]
    assert [trial.number for trial in found.study.best_trials] == [1]


def test_constraints_reach_the_study() -> None:
    found = searcher()
    for number, clean in enumerate((0.2, 0.9)):
        found.suggest(number)
        found.tell(number, "completed", (clean, 0.9 - clean), {"val/clean_map": 0.5 - clean})
    assert [trial.number for trial in found.study.best_trials] == [1]


@pytest.mark.parametrize(
    "point",
    [
        {"model.bits": 64, "defense.lambda": 1.0, "defense.steps": 7},
        {"model.bits": 16, "defense.lambda": 20.0, "defense.steps": 7},
        {"model.bits": 16, "defense.lambda": 1.0, "defense.steps": 0},
        {"model.bits": 16, "defense.lambda": 1.0},
    ],
)
def test_a_point_outside_the_space_is_left_out(point: dict[str, Any]) -> None:
    found = searcher()
    found.include(0, point, {})
    found.tell(0, "completed", (0.5, 0.5))
    assert found.study.trials == []


def test_a_discarded_suggestion_is_no_result() -> None:
    found = searcher()
    found.suggest(0)
    found.discard(0)
    point, _ = found.suggest(0, 1)
    tell(found, 0, "completed", point)
    assert states(found) == [FAIL, COMPLETE]


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
@settings(max_examples=12)
@given(
    outcomes=st.lists(st.sampled_from(("completed", "stopped", "failed")), min_size=9, max_size=9),
    seed=st.integers(0, 2**16),
    wide=st.integers(1, 3),
)
def test_the_next_point_depends_on_the_history_alone(
    sampler: str, outcomes: list[Outcome], seed: int, wide: int
) -> None:
    """``wide`` trials at once, ended in a random order; rebuilt searchers agree at any time."""
    live: list[int] = []
    points: dict[int, dict[str, Any]] = {}
    history: History = []
    found = searcher(sampler)
    for number in range(len(outcomes)):
        if derive_seed("duplicate", seed, number) % 3 == 0:
            found.suggest(number)
            found.discard(number)
            point, notes = found.suggest(number, 1)
            attempt = 1
        else:
            point, notes = found.suggest(number)
            attempt = 0
        if number % 2 == 0 or number == len(outcomes) - 1:
            assert rebuilt(sampler, history).suggest(number, attempt) == (point, notes)
        points[number] = point
        history.append(("suggested", (number, point, notes)))
        if number % 3 != 2:
            clean, robust = values_of(point)
            history.append(("epoch", (number, (0.9 * clean, 0.9 * robust))))
            found.observe(*history[-1][1])
        live.append(number)
        while len(live) >= wide:
            ended = live.pop(derive_seed("end", seed, number, len(live)) % len(live))
            history.append(("told", (ended, outcomes[ended], points[ended])))
            tell(found, ended, outcomes[ended], points[ended])


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "ehvi"])
def test_after_a_random_way_out_a_rebuilt_searcher_agrees_too(sampler: str) -> None:
    """From the 10th suggestion for one trial on they are random, whatever the sampler."""
    found, history = searcher(sampler), History()
    for number in range(14):
        attempt = 10 if number % 3 == 0 else 0
        point, notes = found.suggest(number, attempt)
        assert rebuilt(sampler, history).suggest(number, attempt) == (point, notes)
        history += [("suggested", (number, point, notes)), ("told", (number, "completed", point))]
        tell(found, number, "completed", point)


def test_trials_that_nsga2_did_not_suggest_are_parents_too() -> None:
    """As the paper's default and trials of earlier searches are."""
    found = searcher("nsga2")
    for number in range(4):  # a whole population
        found.include(number, BASE | {"defense.steps": 10}, {})
        found.tell(number, "completed", (0.5, 0.5))
    steps = [found.suggest(number)[0]["defense.steps"] for number in range(4, 16)]
    assert steps.count(10) >= 6, steps


def test_tpe_learns_and_random_does_not() -> None:
    def mean_robust(sampler: str) -> float:
        found = Searcher(SPACE, complete, SAMPLERS[sampler], 3, 40)
        steps: list[int] = []
        for number in range(40):
            point, _ = found.suggest(number)
            found.tell(number, "completed", (point["defense.steps"] / 10,) * 2)
            steps.append(point["defense.steps"])
        return sum(steps[20:]) / 20

    assert mean_robust("tpe") > mean_robust("random") + 1


def test_other_seeds_and_other_attempts_give_other_points() -> None:
    first = searcher().suggest(0)[0]
    assert searcher().suggest(0)[0] == first
    assert Searcher(SPACE, complete, SAMPLERS["tpe"], 1, 12).suggest(0)[0] != first
    assert searcher().suggest(0, 1)[0] != first


def test_ehvi_begins_with_probes_and_goes_on_with_its_model() -> None:
    """Probes until a third of a small budget was begun."""
    found = searcher("ehvi", budget=12)
    notes = []
    for number in range(8):
        point, note = found.suggest(number)
        notes.append(PROBE in note)
        found.observe(number, values_of(point))
        tell(found, number, "completed", point)
    assert notes == [True] * 4 + [False] * 4
    unseen = searcher("ehvi", budget=12)  # spread further as long as nothing was seen, to run on
    assert [PROBE in unseen.suggest(number)[1] for number in range(9)] == [True] * 4 + [False] * 5


def test_ehvi_learns_from_trials_of_earlier_searches() -> None:
    found = searcher("ehvi", budget=30)
    for number in range(8):
        point = {"model.bits": 16, "defense.lambda": 0.5 + number, "defense.steps": 1 + number}
        found.include(number, point, {})
        tell(found, number, "completed", point)
    assert PROBE not in found.suggest(8)[1]
    assert not any(PROBE in found.suggest(number)[1] for number in (9, 10))


def test_a_discarded_suggestion_of_ehvi_teaches_nothing() -> None:
    found, other = searcher("ehvi"), searcher("ehvi")
    for each in (found, other):
        for number in range(5):
            point, _ = each.suggest(number)
            each.observe(number, values_of(point))
            tell(each, number, "completed", point)
    found.suggest(5)
    found.discard(5)
    assert found.suggest(6) == other.suggest(6)


def test_ehvi_learns_where_the_papers_default_is_trained() -> None:
    """The default names its own keys; the others are the file's, auto or off a scale."""
    raw: dict[str, Any] = {
        "defense.lambda": {"float": [0.1, 10.0], "log": True},
        "defense.lr": {"float": [1e-4, 1.0], "log": True},
        "defense.weights": {"choice": ["saat", "eq11"]},
        "defense.step_size": {"float": [0.01, 0.1]},
        "pretrain.momentum": {"float": [0.1, 0.9], "log": True},
        "defense.more": {"float": [0.0, 1.0], "when": {"defense.weights": "eq11"}},
    }
    space = {key: Dimension.model_validate(value) for key, value in raw.items()}
    own = {
        "defense.lambda": 1.0, "defense.lr": 0.01, "defense.weights": "saat",
        "defense.step_size": "auto", "pretrain.momentum": 0.0, "defense.more": 0.25,
        "defense.epochs": 7,
    }  # fmt: skip
    for sampler, known in (("ehvi", 1), ("tpe", 0)):
        found = Searcher(space, lambda point: {**own, **point}, SAMPLERS[sampler], 0, 12)
        found.include(0, {"defense.lambda": 20.0}, {})
        found.include(1, {"defense.lambda": 1.0, "defense.weights": "other"}, {})
        assert len(found.study.trials) == known
        if known:
            (trial,) = found.study.trials
            assert trial.params == {
                "defense.lambda": 20.0,
                "defense.lr": 0.01,
                "defense.weights": "saat",
                "pretrain.momentum": 0.0,
            }
            assert trial.user_attrs == {"planned_epochs": 7}


@pytest.mark.parametrize("outcome", ["completed", "stopped", "failed"])
def test_ehvi_is_told_how_a_trial_outside_the_space_ended(outcome: Outcome) -> None:
    found, other = searcher("ehvi"), searcher("ehvi")
    for each in (found, other):
        if each is found:
            each.include(-1, BASE | {"defense.steps": 20}, {})
            each.observe(-1, (0.9, 0.9))
            each.tell(-1, outcome, (0.9, 0.9) if outcome == "completed" else None)
        for number in range(6):
            point = {"model.bits": 16, "defense.lambda": 0.5 + number, "defense.steps": 1 + number}
            each.include(number, point, {})
            tell(each, number, "completed", point)
    assert found.suggest(6) != other.suggest(6)
