"""Suggestions of the model: on toy searches with a known front."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from harness.experiment.space import Dimension
from harness.search import pareto_model
from harness.search.pareto_model import ModelledTrial, ParetoModel
from harness.search.surrogate import Surrogate
from reports.frontier import additive_gap, hypervolume

SPACE = {
    "defense.lambda": Dimension.model_validate({"float": [0.1, 10.0], "log": True}),
    "defense.mu": Dimension.model_validate({"float": [1e-5, 1e-2], "log": True}),
    "defense.steps": Dimension.model_validate({"int": [1, 10]}),
}
BASE = {"defense.epochs": 4, "model.hashing": "dph"}


def complete(point: Mapping[str, Any]) -> dict[str, Any]:
    return {**BASE, **point}


def objectives(point: dict[str, Any]) -> tuple[float, float]:
    """λ trades clean for robust; beyond a cliff everything collapses; μ does nothing."""
    place = SPACE["defense.lambda"].position(point["defense.lambda"])
    steps = point["defense.steps"] / 10
    if place * steps > 0.75:
        return 0.33, 0.33
    return 0.8 - 0.3 * place**2, 0.3 + 0.3 * place**0.5 * (0.5 + 0.5 * steps)


def run(model: ParetoModel, point: dict[str, Any], ended: bool = True) -> ModelledTrial:
    trial = model.begin(point)
    assert trial is not None
    values = objectives(point)
    trial.epochs += [(values[0] - gap, values[1] - gap) for gap in (0.1, 0.05, 0.02, 0.0)]
    if ended:
        trial.end(values)
    return trial


def random_point(rng: np.random.Generator) -> dict[str, Any]:
    return {key: SPACE[key].value_at(float(rng.random())) for key in SPACE}


def begun(seed: int, count: int = 6) -> tuple[ParetoModel, list[dict[str, Any]]]:
    rng, model = np.random.default_rng(seed), ParetoModel(SPACE, complete)
    points = [random_point(rng) for _ in range(count)]
    for point in points:
        run(model, point)
    return model, points


def test_a_dozen_suggestions_beat_random_ones() -> None:
    ours, theirs = [], []
    for seed in range(3):
        model, points = begun(seed)
        rng = np.random.default_rng(100 + seed)
        others = points + [random_point(rng) for _ in range(12)]
        for number in range(12):
            chosen = model.choose(1000 * seed + number)
            assert chosen is not None
            run(model, chosen)
            points.append(chosen)
        ours.append(hypervolume([objectives(p) for p in points]))
        theirs.append(hypervolume([objectives(p) for p in others]))
    assert np.mean(ours) > np.mean(theirs) + 0.005
    assert all(a > b for a, b in zip(ours, theirs, strict=True))


def test_a_suggestion_is_a_function_of_the_trials_and_the_seed() -> None:
    assert begun(0)[0].choose(5) == begun(0)[0].choose(5)
    assert begun(0)[0].choose(5) != begun(0)[0].choose(6)


def test_it_is_ready_when_three_trials_finished_an_epoch() -> None:
    model = ParetoModel(SPACE, complete)
    for number in range(3):
        assert not model.ready
        trial = model.begin(random_point(np.random.default_rng(number)))
        assert trial is not None
        assert not model.ready
        trial.epochs.append((0.5, 0.4))
    assert model.ready
    assert model.begun == 3


def test_a_trial_with_a_value_that_is_not_finite_teaches_nothing() -> None:
    (model, _), (other, _) = begun(1), begun(1)
    broken = model.begin(random_point(np.random.default_rng(50)))
    assert broken is not None
    broken.epochs.append((float("nan"), 0.4))
    broken.end(None)
    assert model.choose(3) == other.choose(3)


def test_a_running_trial_sends_the_next_one_elsewhere() -> None:
    model, _ = begun(2)
    first = model.choose(7)
    assert first is not None
    place = model._geometry.places([first])
    before = [float(s.predict(place)[1][0]) for s in model._fit()[0]]
    model.begin(first)
    after = [float(s.predict(place)[1][0]) for s in model._fit()[0]]
    assert all(less < more for less, more in zip(after, before, strict=True))
    second = model.choose(7)
    assert second is not None
    assert second != first
    gap = [SPACE[k].position(first[k]) - SPACE[k].position(second[k]) for k in SPACE]
    assert np.abs(gap).max() > 0.02


def test_what_stopped_early_teaches_too() -> None:
    """Trials that only ran for two epochs move the next suggestion."""
    (model, _), (other, _) = begun(3), begun(3)
    for lam in (3.0, 5.0):
        trial = model.begin({"defense.lambda": lam, "defense.mu": 1e-4, "defense.steps": 5})
        assert trial is not None
        trial.epochs += [(0.7, 0.1), (0.75, 0.1)]
        trial.end(None)
    assert model.choose(3) != other.choose(3)


def test_what_lies_below_a_floor_is_not_looked_for() -> None:
    """With a floor for clean MAP, suggestions give up less of it."""

    def clean(floor: float) -> float:
        model = ParetoModel(SPACE, complete, (floor, 0.0))
        rng = np.random.default_rng(4)
        for _ in range(8):
            run(model, random_point(rng))
        values = []
        for number in range(8):
            chosen = model.choose(number)
            assert chosen is not None
            run(model, chosen)
            values.append(objectives(chosen)[0])
        return float(np.mean(values))

    assert clean(0.77) > clean(0.0) + 0.02


def test_a_space_that_is_used_up_has_no_suggestion() -> None:
    space = {"model.bits": Dimension.model_validate({"choice": [16, 32, 64]})}
    model = ParetoModel(space, complete)
    for bits in (16, 32, 64):
        trial = model.begin({"model.bits": bits})
        assert trial is not None
        trial.epochs.append((bits / 100, 0.3))
    assert model.choose(0) is None


@pytest.mark.parametrize("hashing", ["dph", "csq"])
def test_words_and_conditions(hashing: str) -> None:
    """λ exists for one objective only; the model learns which word is the better one."""
    space = {
        "model.hashing": Dimension.model_validate({"choice": ["dph", "csq", "dpn"]}),
        "defense.lambda": SPACE["defense.lambda"].model_copy(
            update={"when": {"model.hashing": hashing}}
        ),
    }
    model, rng = ParetoModel(space, complete), np.random.default_rng(0)
    worth = {"dph": 0.4, "csq": 0.5, "dpn": 0.3} | {hashing: 0.7}
    for number in range(20):
        if number < 8:
            word = ("dph", "csq", "dpn")[number % 3]
            point: dict[str, Any] = {"model.hashing": word}
            if word == hashing:
                point["defense.lambda"] = space["defense.lambda"].value_at(float(rng.random()))
        else:
            chosen = model.choose(number)
            assert chosen is not None
            point = chosen
        assert ("defense.lambda" in point) == (point["model.hashing"] == hashing)
        trial = model.begin(point)
        assert trial is not None
        value = worth[point["model.hashing"]]
        trial.epochs.append((value, value))
        trial.end((value, value))
    words = [trial.point["model.hashing"] for trial in model._trials[8:]]
    assert words.count(hashing) >= 9


def test_a_choice_that_the_space_lacks_is_no_trial_of_the_model() -> None:
    space = {"model.bits": Dimension.model_validate({"choice": [16, 32]})}
    assert ParetoModel(space, complete).begin({"model.bits": 64}) is None


def test_a_number_outside_its_range_is_learned_from() -> None:
    """As the paper's default may be."""
    model, _ = begun(0, count=3)
    assert model.begin({"defense.lambda": 50.0, "defense.mu": 1e-4, "defense.steps": 12})
    assert model.choose(1) is not None


def test_probes_are_spread_over_the_space() -> None:
    """Sixteen of a Sobol sequence: one in every sixteenth of each range."""
    space = {key: SPACE[key] for key in ("defense.lambda", "defense.mu")}
    model = ParetoModel(space, complete)
    places = []
    for _ in range(16):
        point = model.probe(3)
        assert model.probe(3) == point
        places.append([space[key].position(point[key]) for key in space])
        model.begin(point)
    for column in np.array(places).T:
        assert sorted(np.floor(16 * column).tolist()) == list(range(16))
    assert ParetoModel(space, complete).probe(3) != ParetoModel(space, complete).probe(4)


def test_trainings_that_collapsed_do_not_bend_the_model_at_the_front() -> None:
    """Beside a cliff, predictions for the good side are what good trials say."""
    errors = []
    for seed in range(4):
        model, rng = ParetoModel(SPACE, complete), np.random.default_rng(seed)
        points = [random_point(rng) for _ in range(120)]
        good = [p for p in points if objectives(p)[0] > 0.4]
        bad = [p for p in points if objectives(p)[0] < 0.4]
        for point in [*good[:20], *bad[:5]]:
            run(model, point)
        surrogates, _, _ = model._fit()
        means = np.stack(
            [s.predict(model._geometry.places(good[20:]))[0] for s in surrogates], axis=1
        )
        errors.append(means - np.array([objectives(p) for p in good[20:]]))
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 0.02


def test_a_suggestion_of_a_long_search_weighs_no_more_trials_than_that_of_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fits are of the trials nearest to the front, and so are the values that make it."""
    monkeypatch.setattr(pareto_model, "_MOST", 20)
    fitted: list[Any] = []
    predicted: list[int] = []

    class Counting(Surrogate):
        def __init__(self, places: Any, values: Any, variances: Any) -> None:
            fitted.append(values)
            super().__init__(places, values, variances)

        def predict(self, places: Any) -> Any:
            predicted.append(len(places))
            return super().predict(places)

    monkeypatch.setattr(pareto_model, "Surrogate", Counting)
    model, points = begun(0, count=60)
    run(model, random_point(np.random.default_rng(1)), ended=False)
    _, front, _ = model._fit()
    assert [len(values) for values in fitted] == [20, 20]
    assert max(predicted) <= 21
    whole = np.array([objectives(point) for point in points])
    gap = additive_gap(whole)
    assert set(fitted[0]) <= set(whole[gap <= np.sort(gap)[19]][:, 0])
    # A front of the model's own predictions, near the true one.
    assert abs(hypervolume(front) - hypervolume(whole)) < 0.01


def test_settings_that_fail_are_kept_away_from() -> None:
    """Values rise towards a cliff beyond which every training fails."""
    dimension = Dimension.model_validate({"float": [0.0, 1.0]})
    space = {"pretrain.lr": dimension, "defense.lr": dimension, "defense.mu": dimension}
    for seed in range(3):
        model, failed, best = ParetoModel(space, complete), [], 0.0
        for number in range(28):
            point = model.probe(seed) if number < 8 else model.choose(100 * seed + number)
            assert point is not None
            trial, place = model.begin(point), point["pretrain.lr"]
            assert trial is not None
            values = 0.5 + 0.3 * place, 0.4 + 0.3 * place
            failed.append(place > 0.55)
            trial.epochs += [values] * (1 if failed[-1] else 4)
            trial.end(None if failed[-1] else values, failed[-1])
            best = max(best, 0 if failed[-1] else place)
        assert sum(failed[8:]) <= 12  # without: all but one or two of these twenty
        assert best > 0.53


def test_where_every_trial_failed_the_search_goes_on() -> None:
    model = ParetoModel(SPACE, complete)
    rng = np.random.default_rng(0)
    for number in range(6):
        trial = run(model, random_point(rng), ended=False)
        trial.end(objectives(trial.point) if number < 3 else None, failed=number >= 3)
    for trial in model._trials:
        trial.failed = True
    assert model._near_failures(np.random.default_rng(1).random((5, 3))).tolist() == [False] * 5


@pytest.mark.parametrize(("floor", "feasible"), [(0.85, 9), (0.75, 12), (0.0, 20)])
def test_a_front_that_lies_below_both_four_fifths_is_searched_too(
    floor: float, feasible: int
) -> None:
    """Clean MAP from 0.93 to 0.43 against robust MAP from 0.1 to 0.6."""
    space = {key: SPACE[key] for key in ("defense.lambda", "defense.mu")}
    found, volumes = [], []
    for seed in range(2):
        model, values = ParetoModel(space, complete, (floor, 0.0)), []
        for number in range(20):
            point = model.probe(seed) if number < 8 else model.choose(100 * seed + number)
            assert point is not None
            trial, share = (
                model.begin(point),
                space["defense.lambda"].position(point["defense.lambda"]),
            )
            assert trial is not None
            values.append((0.93 - 0.5 * share, 0.1 + 0.5 * share))
            trial.epochs += [values[-1]] * 4
            trial.end(values[-1])
        kept = [value for value in values if value[0] >= floor]
        found.append(len(kept))
        volumes.append(hypervolume(kept))
    assert min(found) >= feasible
    best = [(0.93 - 0.5 * x, 0.1 + 0.5 * x) for x in np.linspace(0, 1, 1001)]
    assert min(volumes) > 0.9 * hypervolume([value for value in best if value[0] >= floor])


def test_a_point_without_all_keys_lies_where_it_is_trained() -> None:
    """The paper's default names its own keys; the others are the file's, auto or off a scale."""
    space = {
        "defense.lambda": SPACE["defense.lambda"],
        "defense.lr": Dimension.model_validate({"float": [1e-4, 1.0], "log": True}),
        "defense.weights": Dimension.model_validate({"choice": ["saat", "eq11"]}),
        "defense.step_size": Dimension.model_validate({"float": [0.01, 0.1]}),
        "pretrain.momentum": Dimension.model_validate({"float": [0.1, 0.9], "log": True}),
        "defense.more": Dimension.model_validate(
            {"float": [0.0, 1.0], "when": {"defense.weights": "eq11"}}
        ),
    }
    own = {
        "defense.lambda": 1.0, "defense.lr": 0.01, "defense.weights": "saat",
        "defense.step_size": "auto", "pretrain.momentum": 0.0, "defense.more": 0.25,
        "defense.epochs": 7,
    }  # fmt: skip
    model = ParetoModel(space, lambda point: {**own, **point})
    default = model.begin({"defense.lambda": 1.0})
    assert default is not None
    assert default.planned == 7
    assert model._geometry.places([default.point])[0] == pytest.approx(
        [0.5, 0.5, 0.5, 0.0, 0.5, -1.0, 0.5]  # of what does not apply or is no number, the middle
    )
    assert model.begin({"defense.lambda": 1.0, "defense.weights": "other"}) is None
    assert model._untried([default.point]) == []
