"""Suggestions of the model: on toy searches with a known front."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.distributions import IntDistribution as Int

from harness.search.samplers.ehvi import model as module
from harness.search.samplers.ehvi.encoding import Axis, Point, SpaceEncoding
from harness.search.samplers.ehvi.forecast import Observation
from harness.search.samplers.ehvi.model import Goal, ParetoModel
from harness.search.samplers.ehvi.prior import Prior
from harness.search.samplers.ehvi.surrogate import Surrogate
from reports.frontier import additive_gap, hypervolume

LAMBDA = FloatDistribution(0.1, 10.0, log=True)
Objectives = tuple[float, float]
SPACE = {"lambda": LAMBDA, "mu": FloatDistribution(1e-5, 1e-2, log=True), "steps": Int(1, 10)}
RISE = (0.1, 0.05, 0.02, 0.0)  # what each of four epochs lacks of the end


def objectives(point: Point) -> Objectives:
    """λ trades clean for robust; beyond a cliff everything collapses; μ does nothing."""
    position = Axis(LAMBDA).position(point["lambda"])
    steps = point["steps"] / 10
    if position * steps > 0.75:
        return 0.33, 0.33
    return 0.8 - 0.3 * position**2, 0.3 + 0.3 * position**0.5 * (0.5 + 0.5 * steps)


class Trials:
    """Trials of a search, and the model of them."""

    def __init__(
        self,
        space: Mapping[str, BaseDistribution] = SPACE,
        lower_bounds: Objectives = (0.0, 0.0),
        applies: Any = None,
    ) -> None:
        self.encoding, self.space = SpaceEncoding(space, applies), space
        self.lower_bounds = lower_bounds
        self.all: list[Observation] = []

    @property
    def model(self) -> ParetoModel:
        goal = Goal(np.array(self.lower_bounds))
        return ParetoModel(self.encoding, self.all, goal, Prior(self.space, {}))

    def add(self, point: Point, epochs: Any = (), final: Any = None, **more: Any) -> None:
        values, end = np.reshape(epochs, (-1, 2)), None if final is None else np.array(final)
        self.all.append(Observation(point, values, 4, end, **more))

    def run(self, point: Point, running: bool = False) -> None:
        values = objectives(point)
        epochs = [(values[0] - gap, values[1] - gap) for gap in RISE]
        self.add(point, epochs, running=running, final=None if running else values)

    def suggest(self, seed: int) -> Point:
        point = self.model.suggest(seed)
        assert point is not None
        return point


def begun(seed: int, count: int = 6) -> tuple[Trials, list[Point]]:
    rng, trials = np.random.default_rng(seed), Trials()
    points = [trials.encoding.random(rng) for _ in range(count)]
    for point in points:
        trials.run(point)
    return trials, points


@pytest.mark.lengthy
def test_a_dozen_suggestions_beat_random_ones() -> None:
    ours, theirs = [], []
    for seed in range(3):
        trials, points = begun(seed)
        rng = np.random.default_rng(100 + seed)
        others = points + [trials.encoding.random(rng) for _ in range(12)]
        for number in range(12):
            points.append(trials.suggest(1000 * seed + number))
            trials.run(points[-1])
        ours.append(hypervolume([objectives(p) for p in points]))
        theirs.append(hypervolume([objectives(p) for p in others]))
    assert np.mean(ours) > np.mean(theirs) + 0.005
    assert all(a > b for a, b in zip(ours, theirs, strict=True))


def test_a_suggestion_is_a_function_of_the_trials_and_the_seed() -> None:
    assert begun(0)[0].suggest(5) == begun(0)[0].suggest(5)
    assert begun(0)[0].suggest(5) != begun(0)[0].suggest(6)


def test_it_is_ready_when_three_trials_finished_an_epoch() -> None:
    trials = Trials()
    for number in range(3):
        assert not trials.model.ready
        point = trials.encoding.random(np.random.default_rng(number))
        trials.add(point, running=True)
        assert not trials.model.ready
        trials.all.pop()
        trials.add(point, [(0.5, 0.4)], running=True)
    assert trials.model.ready


def test_a_trial_with_an_infinite_value_teaches_nothing() -> None:
    (trials, _), (other, _) = begun(1), begun(1)
    trials.add(trials.encoding.random(np.random.default_rng(50)), [(float("inf"), 0.4)])
    assert trials.suggest(3) == other.suggest(3)


def test_a_running_trial_sends_the_next_one_elsewhere() -> None:
    trials, _ = begun(2)
    first = trials.suggest(7)
    position = trials.encoding.encode([first])
    before = [float(s.predict(position)[1][0]) for s in trials.model.fit().surrogates]
    trials.add(first, running=True)
    after = [float(s.predict(position)[1][0]) for s in trials.model.fit().surrogates]
    assert all(less < more for less, more in zip(after, before, strict=True))
    second = trials.suggest(7)
    assert second != first
    assert np.abs(position - trials.encoding.encode([second])).max() > 0.02


def test_what_stopped_early_teaches_too() -> None:
    """Trials that only ran for two epochs move the next suggestion."""
    (trials, _), (other, _) = begun(3), begun(3)
    for lam in (3.0, 5.0):
        trials.add({"lambda": lam, "mu": 1e-4, "steps": 5}, [(0.7, 0.1), (0.75, 0.1)])
    assert trials.suggest(3) != other.suggest(3)


def test_what_lies_below_a_lower_bound_is_not_looked_for() -> None:
    """With a bound of clean MAP, suggestions give up less of it."""

    def clean(bound: float) -> float:
        trials, rng = Trials(lower_bounds=(bound, 0.0)), np.random.default_rng(4)
        for _ in range(8):
            trials.run(trials.encoding.random(rng))
        values = []
        for number in range(8):
            point = trials.suggest(number)
            trials.run(point)
            values.append(objectives(point)[0])
        return float(np.mean(values))

    assert clean(0.77) > clean(0.0) + 0.02


def test_a_space_that_is_used_up_has_no_suggestion() -> None:
    trials = Trials({"bits": CategoricalDistribution([16, 32, 64])})
    for bits in (16, 32, 64):
        trials.add({"bits": bits}, [(bits / 100, 0.3)], running=True)
    assert trials.model.suggest(0) is None


def test_given_candidates_are_the_only_ones() -> None:
    trials, points = begun(0)
    rng = np.random.default_rng(9)
    table = [trials.encoding.random(rng) for _ in range(5)]
    assert trials.model.suggest(0, [*points, *table]) in table
    assert trials.model.suggest(0, points) is None


@pytest.mark.parametrize("hashing", ["dph", "csq"])
def test_words_and_conditions(hashing: str) -> None:
    """λ exists for one objective only; the model learns which word is the better one."""

    def applies(key: str, point: Mapping[str, Any]) -> bool:
        return key != "lambda" or point["hashing"] == hashing

    space = {"hashing": CategoricalDistribution(["dph", "csq", "dpn"]), "lambda": LAMBDA}
    trials, rng = Trials(space, applies=applies), np.random.default_rng(0)
    quality = {"dph": 0.4, "csq": 0.5, "dpn": 0.3} | {hashing: 0.7}
    for number in range(20):
        if number < 8:
            point: Point = {"hashing": ("dph", "csq", "dpn")[number % 3]}
            if point["hashing"] == hashing:
                point["lambda"] = Axis(LAMBDA).value_at(float(rng.random()))
        else:
            point = trials.suggest(number)
        assert ("lambda" in point) == (point["hashing"] == hashing)
        values = (quality[point["hashing"]],) * 2
        trials.add(point, [values], final=values)
    words = [trial.point["hashing"] for trial in trials.all[8:]]
    assert words.count(hashing) >= 9


def test_a_number_outside_its_range_is_learned_from() -> None:
    """As the paper's default may be."""
    (trials, _), (other, _) = begun(0, count=3), begun(0, count=3)
    trials.add({"lambda": 50.0, "mu": 1e-4, "steps": 12}, [(0.6, 0.6)])
    assert trials.suggest(1) != other.suggest(1)


def test_parameters_that_a_point_lacks_are_encoded_as_midpoints() -> None:
    space = {
        "lambda": LAMBDA,
        "weights": CategoricalDistribution(["saat", "eq11"]),
        "momentum": FloatDistribution(0.1, 0.9, log=True),
    }
    encoded = SpaceEncoding(space).encode([{"lambda": "auto", "weights": "eq11"}, {"momentum": 0}])
    assert encoded.tolist() == [[0.5, 0.0, 0.5, 0.5], [0.5, 0.0, 0.0, -1.0]]


def test_trainings_that_collapsed_do_not_bend_the_model_at_the_front() -> None:
    """Beside a cliff, predictions for the good side are what good trials say."""
    errors = []
    for seed in range(4):
        trials, rng = Trials(), np.random.default_rng(seed)
        points = [trials.encoding.random(rng) for _ in range(120)]
        good = [p for p in points if objectives(p)[0] > 0.4]
        bad = [p for p in points if objectives(p)[0] < 0.4]
        for point in [*good[:20], *bad[:5]]:
            trials.run(point)
        positions = trials.encoding.encode(good[20:])
        means = np.stack([s.predict(positions)[0] for s in trials.model.fit().surrogates], axis=1)
        errors.append(means - np.array([objectives(p) for p in good[20:]]))
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 0.02


def test_a_suggestion_of_a_long_search_weighs_no_more_trials_than_that_of_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fits are of the trials nearest to the front, and so are the values that make it."""
    monkeypatch.setattr(module, "MAX_FITTED", 20)
    fitted: list[Any] = []
    predicted: list[int] = []

    class Counting(Surrogate):
        def __init__(self, positions: Any, values: Any, *more: Any) -> None:
            fitted.append(values)
            super().__init__(positions, values, *more)

        def predict(self, positions: Any) -> Any:
            predicted.append(len(positions))
            return super().predict(positions)

    monkeypatch.setattr(module, "Surrogate", Counting)
    trials, points = begun(0, count=60)
    trials.run(trials.encoding.random(np.random.default_rng(1)), running=True)
    front = trials.model.fit().front
    assert [len(values) for values in fitted] == [20, 20]
    assert max(predicted) <= 21
    whole = np.array([objectives(point) for point in points])
    gap = additive_gap(whole)
    # The lowest may have been moved to Tukey's fence.
    assert set(fitted[0]) - {min(fitted[0])} <= set(whole[gap <= np.sort(gap)[19]][:, 0])
    # A front of the model's own predictions, near the true one.
    assert abs(hypervolume(front) - hypervolume(whole)) < 0.01


@pytest.mark.lengthy
def test_settings_that_fail_are_kept_away_from() -> None:
    """Values rise towards a cliff beyond which every training fails."""
    unit = FloatDistribution(0.0, 1.0)
    space = {"pretrain.lr": unit, "defense.lr": unit, "defense.mu": unit}
    for seed in range(3):
        trials, rng, best = Trials(space), np.random.default_rng(seed), 0.0
        for number in range(28):
            # Even in the first key, as start-up points are.
            start = {**trials.encoding.random(rng), "pretrain.lr": (number + 0.5) / 8}
            point = start if number < 8 else trials.suggest(100 * seed + number)
            rate = point["pretrain.lr"]
            values = 0.5 + 0.3 * rate, 0.4 + 0.3 * rate
            if rate > 0.55:
                trials.add(point, [values], failed=True)
            else:
                trials.add(point, [values] * 4, final=values)
                best = max(best, rate)
        assert sum(t.failed for t in trials.all[8:]) <= 12  # without: all but one or two of twenty
        assert best > 0.53


def test_where_every_ended_trial_failed_failures_decide_nothing() -> None:
    trials, other = Trials(), Trials()
    rng = np.random.default_rng(0)
    for number in range(6):
        point = trials.encoding.random(rng)
        if number < 3:
            trials.run(point, running=True)
            other.run(point, running=True)
        else:
            trials.add(point, failed=True)
    assert trials.suggest(1) == other.suggest(1)


@pytest.mark.lengthy
@pytest.mark.parametrize(("bound", "feasible"), [(0.85, 9), (0.75, 12), (0.0, 20)])
def test_a_front_that_lies_below_both_four_fifths_is_searched_too(
    bound: float, feasible: int
) -> None:
    """Clean MAP from 0.93 to 0.43 against robust MAP from 0.1 to 0.6."""
    space = {"lambda": LAMBDA, "mu": SPACE["mu"]}
    found, volumes = [], []
    for seed in range(2):
        trials, rng = Trials(space, (bound, 0.0)), np.random.default_rng(seed)
        values = []
        for number in range(20):
            even = Axis(LAMBDA).value_at((number + 0.5) / 8) if number < 8 else 1.0
            start = {**trials.encoding.random(rng), "lambda": even}
            point = start if number < 8 else trials.suggest(100 * seed + number)
            share = Axis(LAMBDA).position(point["lambda"])
            values.append((0.93 - 0.5 * share, 0.1 + 0.5 * share))
            trials.add(point, [values[-1]] * 4, final=values[-1])
        kept = [value for value in values if value[0] >= bound]
        found.append(len(kept))
        volumes.append(hypervolume(kept))
    assert min(found) >= feasible
    best = [(0.93 - 0.5 * x, 0.1 + 0.5 * x) for x in np.linspace(0, 1, 1001)]
    assert min(volumes) > 0.9 * hypervolume([value for value in best if value[0] >= bound])


def test_an_outlier_does_not_hide_what_is_near_the_front() -> None:
    """Values that differ by 0.0002 beside one that is 0.8 lower."""

    def value(place: float) -> float:
        return 0.9 + 1e-4 * float(np.sin(6 * place))

    trials = Trials({"x": FloatDistribution(0.0, 1.0)})
    for place in np.linspace(0, 1, 14):
        trials.add({"x": place}, final=(value(place), -value(place) + 1.8))
    trials.add({"x": 0.52}, final=(0.1, 0.1))
    places = np.linspace(0.1, 0.9, 30)

    mean, _ = trials.model.fit().predict(trials.encoding.encode([{"x": x} for x in places]))
    assert np.abs(mean[:, 0] - [value(x) for x in places]).max() < 2e-5
