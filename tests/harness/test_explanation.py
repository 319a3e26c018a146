"""Partial dependence and ablation paths, on functions whose answer is known."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.experiment.space import Dimension
from harness.journal.state import SearchState
from harness.search.ablation import greedy_order
from harness.search.dependence import GRID, values_of
from harness.search.explanation import search_explanation
from harness.search.final_model import FEWEST_TRIALS, FinalModel
from harness.search.search import Search
from harness.session.result_tables import write_explanation
from reports.explanation import Dependence, Explanation, read_explanation
from saat.errors import InputError
from tests.harness import fakes
from tests.harness.fakes import experiment, finished

Objectives = Callable[[dict[str, Any]], tuple[float, float]]


def terms(setting: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """What each key adds to clean and robust MAP."""
    weight = math.log10(setting["defense.lambda"])
    eps, steps = setting["defense.eps"], setting["defense.steps"]
    long = setting["model.bits"] == 32
    return {
        "defense.lambda": (-0.12 * weight, 0.10 * weight),
        "defense.eps": (-2.0 * eps, 3.0 * eps),
        "defense.steps": (0.0, 0.008 * steps),
        "model.bits": (0.03 * long, 0.01 * long),
    }


def additive(config: dict[str, Any]) -> tuple[float, float]:
    flat = {f"{part}.{k}": v for part in ("model", "defense") for k, v in config[part].items()}
    if flat["defense.method"] == "none":
        return 0.9, 0.05
    clean, robust = (sum(column) for column in zip(*terms(flat).values(), strict=True))
    return 0.75 + clean, 0.25 + robust


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Search]:
    """Finish a search of a function of the setting, without noise; every trial completes."""

    def search(function: Objectives = additive, **changes: Any) -> Search:
        monkeypatch.setattr(fakes, "objectives", lambda config, _progress=1.0: function(config))
        given = {"search__num_samples": 30, "search__sampler": "random"}
        given |= {"search__scheduler": "none"} | changes
        return finished(tmp_path / "run", experiment(**given))

    return search


def explained(search: Search) -> Explanation:
    found = search_explanation(search.experiment, search.state)
    assert not found.missing
    return found


def curves(found: Explanation) -> dict[tuple[str, str], Dependence]:
    return {(one.key, one.metric): one for one in found.dependence}


# Partial dependence


def test_dependence_on_an_additive_function_is_its_term_and_the_mean_of_the_others(
    searched: Callable[..., Search],
) -> None:
    search = searched()
    found = curves(explained(search))
    settings = [record.config.flat() for record in search.state.of_phase("explore")]
    assert len(found) == 2 * len(fakes.SPACE)
    for (key, metric), one in found.items():
        column = ("clean_map", "robust_map").index(metric)
        base = (0.75, 0.25)[column]
        others = [sum(v[column] for k, v in terms(s).items() if k != key) for s in settings]
        expected = [
            base + terms({**settings[0], key: value})[key][column] + np.mean(others)
            for value in one.values
        ]
        assert [e.mean for e in one.estimates] == pytest.approx(expected, abs=0.01), (key, metric)
        inside = [e.low <= x <= e.high for e, x in zip(one.estimates, expected, strict=True)]
        assert np.mean(inside) >= 0.9, (key, metric)
        assert one.settings == len(settings)


def test_a_band_is_wider_where_no_trial_was(searched: Callable[..., Search]) -> None:
    """Trials with λ below 1 alone say little of λ = 10."""
    search = searched(space=fakes.SPACE | {"defense.lambda": {"float": [0.1, 1.0], "log": True}})
    wider = search.experiment.model_copy(
        update={
            "space": search.experiment.space
            | {"defense.lambda": Dimension.model_validate({"float": [0.1, 10.0], "log": True})}
        }
    )
    for metric in ("clean_map", "robust_map"):
        one = curves(search_explanation(wider, search.state))["defense.lambda", metric]
        assert one.estimates[-1].deviation > 3 * one.estimates[8].deviation


def test_a_key_under_a_condition_is_averaged_over_the_settings_that_have_it(
    searched: Callable[..., Search],
) -> None:
    space = fakes.SPACE | {
        "defense.steps": {"int": [1, 10], "when": {"model.bits": 32}},
    }
    search = searched(space=space)
    found = curves(explained(search))
    long = [r for r in search.state.of_phase("explore") if r.config.model.bits == 32]
    assert found["defense.steps", "robust_map"].settings == len(long)
    assert found["model.bits", "robust_map"].settings == len(search.state.of_phase("explore"))


@pytest.mark.parametrize(
    ("specification", "expected"),
    [
        ({"choice": ["b", "a"]}, ["b", "a"]),
        ({"int": [1, 4]}, [1, 2, 3, 4]),
        ({"float": [0.0, 0.3], "step": 0.1}, [0.0, 0.1, 0.2, 0.3]),
        ({"float": [0.5, 0.5]}, [0.5]),
    ],
)
def test_few_values_are_all_shown(specification: dict[str, Any], expected: list[Any]) -> None:
    assert values_of(Dimension.model_validate(specification)) == pytest.approx(expected) or (
        values_of(Dimension.model_validate(specification)) == expected
    )


@pytest.mark.parametrize(
    ("specification", "middle"),
    [
        ({"float": [0.1, 10.0], "log": True}, 1.0),
        ({"float": [0.0, 4.0]}, 2.0),
        ({"int": [0, 1000]}, 500),
        ({"int": [1, 10000], "log": True}, 100),
    ],
)
def test_many_values_are_spread_evenly_on_their_scale(
    specification: dict[str, Any], middle: float
) -> None:
    dimension = Dimension.model_validate(specification)
    values = values_of(dimension)
    assert len(values) <= GRID
    assert (values[0], values[-1]) == dimension.bounds
    assert all(dimension.contains(value) for value in values)
    assert list(values) == sorted(set(values))
    assert middle in [pytest.approx(value) for value in values]


# Paths


def test_a_greedy_order_is_the_first_of_all_orders() -> None:
    """Compared by what each step reaches, one step after the other."""
    parts = range(5)
    rng = np.random.default_rng(3)
    gains, together = rng.normal(size=5), rng.normal(size=(5, 5))

    def score(order: Sequence[int]) -> float:
        chosen = sorted(order)
        pairs = sum(together[i, j] for i in chosen for j in chosen if i < j)
        return float(sum(gains[i] for i in chosen) + pairs)

    def reached(order: Sequence[int]) -> list[float]:
        return [score(order[: count + 1]) for count in range(len(order))]

    best = max(permutations(parts), key=reached)
    assert greedy_order(parts, score) == list(best)
    assert list(best) != sorted(parts, key=lambda i: -gains[i]), "a case in which parts interact"


def test_of_equal_scores_the_first_part_is_taken() -> None:
    assert greedy_order("cab", lambda order: 0) == list("cab")


def test_a_path_takes_the_largest_gain_of_the_criterion_first(
    searched: Callable[..., Search],
) -> None:
    search = searched(confirm__max_configs=2)
    state: SearchState = search.state
    found = explained(search)
    assert len(found.paths) == len(state.recommended or ()) == 2
    records = {trial_id: state.trials[trial_id] for trial_id in state.recommended or ()}
    first = next(iter(records.values())).metrics
    for path, end in zip(found.paths, records.values(), strict=True):
        assert path.config_hash == end.config_hash
        default = next(
            r
            for r in state.of_phase("explore")
            if r.spec.role == "default" and r.config.model.bits == end.config.model.bits
        )
        begin, last = default.config.flat(), end.config.flat()
        keys = [key for key in fakes.SPACE if begin[key] != last[key]]
        is_first = path is found.paths[0]

        def area(order: Sequence[str], start: Any = begin, stop: Any = last) -> float:
            setting = {**start, **{key: stop[key] for key in order}}
            clean, robust = (sum(c) for c in zip(*terms(setting).values(), strict=True))
            return float((0.75 + clean) * (0.25 + robust))

        def added(order: Sequence[str], start: Any = begin, stop: Any = last) -> float:
            """What two rectangles dominate, less the first of them."""
            setting = {**start, **{key: stop[key] for key in order}}
            clean, robust = (sum(c) for c in zip(*terms(setting).values(), strict=True))
            other = first["reattack/clean_map"], first["reattack/robust_map"]
            overlap = min(0.75 + clean, other[0]) * min(0.25 + robust, other[1])
            return float((0.75 + clean) * (0.25 + robust) - overlap)

        true = area if is_first else added
        order = [next(iter(step.changed)) for step in path.steps[1:]]
        assert sorted(order) == sorted(keys)
        # The model is not exact, so the order may differ where gains are all but equal.
        for count, key in enumerate(order):
            gains = {k: true([*order[:count], k]) for k in keys if k not in order[:count]}
            assert gains[key] >= max(gains.values()) - 0.01, (order, gains)
        assert [len(step.changed) for step in path.steps] == [0] + [1] * len(keys)


def test_the_ends_of_a_path_are_measured_and_the_middle_is_predicted(
    searched: Callable[..., Search],
) -> None:
    search = searched()
    path = explained(search).paths[0]
    measured = [bool(step.measured) for step in path.steps]
    assert measured == [True] + [False] * (len(measured) - 2) + [True]
    end = search.state.trials[(search.state.recommended or [""])[0]]
    for name in ("clean_map", "robust_map"):
        assert path.steps[-1].measured[name] == end.metrics[f"reattack/{name}"]
    for step in path.steps:
        assert set(step.predicted) == {"clean_map", "robust_map"}
        for name, value in step.measured.items():
            assert step.predicted[name].mean == pytest.approx(value, abs=0.01)


def test_a_setting_on_the_way_that_was_trained_is_measured(
    searched: Callable[..., Search],
) -> None:
    """A search that tries every point of a small space has trained every setting of its paths."""
    space = {
        "defense.lambda": {"choice": [0.1, 1.0, 10.0]},
        "defense.eps": {"choice": ["4/255", "8/255", "16/255"]},
    }
    found = explained(searched(space=space, search__num_samples=40))
    assert found.paths
    assert all(step.measured for path in found.paths for step in path.steps)


def test_keys_that_apply_at_one_end_alone_change_with_their_condition(
    searched: Callable[..., Search],
) -> None:
    def better_under_cgat(config: dict[str, Any]) -> tuple[float, float]:
        defense = config["defense"]
        if defense["method"] == "none":
            return 0.9, 0.05
        ahead = 0.2 * (defense["method"] == "cgat")
        return 0.6 + ahead - defense["eps"], 0.3 + ahead + 2 * defense["eps"]

    space = {
        "defense.method": {"choice": ["saat", "cgat"]},
        "defense.eps": {"float": ["2/255", "16/255"]},
        "defense.mu": {"float": [1e-5, 1e-2], "log": True, "when": {"defense.method": "saat"}},
    }
    search = searched(better_under_cgat, space=space)
    path = explained(search).paths[0]
    changes = [set(step.changed) for step in path.steps[1:]]
    assert {"defense.method", "defense.mu"} in changes
    step = next(s for s in path.steps if "defense.mu" in s.changed)
    assert step.changed["defense.mu"][1] is None
    assert step.changed["defense.method"] == ("saat", "cgat")


def test_with_equal_budgets_a_path_begins_at_the_default_of_its_own_part(
    searched: Callable[..., Search],
) -> None:
    def equal(config: dict[str, Any]) -> tuple[float, float]:
        defense = config["defense"]
        if defense["method"] == "none":
            return 0.9, 0.05
        return 0.6 - defense["eps"], 0.3 + 2 * defense["eps"]

    space = {
        "defense.method": {"choice": ["saat", "cgat"]},
        "defense.eps": {"float": ["2/255", "16/255"]},
        "defense.steps": {"int": [1, 10]},
    }
    search = searched(
        equal, space=space, search__each="defense.method", search__num_samples=8,
        confirm__max_configs=1,
    )  # fmt: skip
    found = explained(search)
    chosen = [search.state.trials[i].config.method for i in search.state.recommended or ()]
    assert sorted(chosen) == ["cgat", "saat"]
    assert len(found.paths) == 2
    for path in found.paths:
        assert all("defense.method" not in step.changed for step in path.steps)
    assert ("defense.method", "clean_map") in curves(found)
    # Without an end of its own, a path does not begin at the other method's default instead.
    for record in search.state.of_phase("explore"):
        if (record.spec.role, record.config.method) == ("default", "cgat"):
            record.metrics["reattack/lift.clean"] = 0.0
    (path,) = explained(search).paths
    assert path.config_hash == next(
        search.state.trials[i].config_hash
        for i in search.state.recommended or ()
        if search.state.trials[i].config.method == "saat"
    )


def test_other_values_of_a_key_decide_which_keys_apply() -> None:
    space = {
        "defense.method": {"choice": ["saat", "cgat"]},
        "defense.mu": {"float": [0.0, 1.0], "when": {"defense.method": "saat"}},
    }
    model = FinalModel(experiment(space=space), [])
    point = {"defense.method": "saat", "defense.mu": 0.5}
    assert model.changed(point, {"defense.method": "cgat"}) == {"defense.method": "cgat"}
    assert model.changed(point, {"defense.mu": 0.1}) == {**point, "defense.mu": 0.1}


def test_what_the_search_did_not_vary_is_named(searched: Callable[..., Search]) -> None:
    """The published μ is 1e-4, and the file has another."""
    path = explained(searched(defense__mu=0.5)).paths[0]
    assert path.left_out == ["defense.mu"]
    assert all("defense.mu" not in step.changed for step in path.steps)


# With other aims, and without enough to say


def test_other_objectives_are_predicted_too(searched: Callable[..., Search]) -> None:
    search = searched()
    for record in search.state.of_phase("explore"):
        record.metrics["reattack/code_length"] = float(record.config.model.bits)
    goals = {"val/robust_map": "max", "val/code_length": "min"}
    other = experiment(objectives=goals, search__sampler="random")
    found = search_explanation(other, search.state)
    step = found.paths[0].steps[-1]
    assert set(step.predicted) == {"robust_map", "code_length", "clean_map"}
    bits = step.measured["code_length"]
    assert bits in (16, 32)
    assert step.predicted["code_length"].mean == pytest.approx(bits, abs=1)
    assert {one.metric for one in found.dependence} == {"clean_map", "robust_map"}


def test_of_few_trials_nothing_is_said(searched: Callable[..., Search]) -> None:
    found = search_explanation(*few(searched))
    assert (
        found.missing == f"4 explored trials completed above chance, and {FEWEST_TRIALS} are needed"
    )
    assert not found.dependence
    assert not found.paths


def few(searched: Callable[..., Search]) -> tuple[Any, SearchState]:
    search = searched(search__num_samples=2)
    return search.experiment, search.state


def test_collapsed_trials_teach_nothing(searched: Callable[..., Search]) -> None:
    search = searched()
    for record in search.state.of_phase("explore")[2:]:
        record.metrics["reattack/lift.clean"] = 0.0
    found = search_explanation(search.experiment, search.state)
    assert found.missing == "2 explored trials completed above chance, and 8 are needed"


def test_without_a_space_nothing_was_searched(searched: Callable[..., Search]) -> None:
    search = searched(search__num_samples=2)
    one = {"defense.eps": Dimension.model_validate({"choice": [0.1]})}
    fixed = search.experiment.model_copy(update={"space": one})
    assert search_explanation(fixed, search.state).missing == "nothing was searched"


# The stored file


def test_it_is_computed_once(searched: Callable[..., Search], tmp_path: Path) -> None:
    search = searched()
    write_explanation(tmp_path, search.experiment, search.state)
    path = tmp_path / "explanation.json"
    first, time = path.read_bytes(), path.stat().st_mtime_ns
    write_explanation(tmp_path, search.experiment, search.state)
    assert path.stat().st_mtime_ns == time
    stored = read_explanation(tmp_path)
    assert stored is not None
    assert len(stored.paths) == len(search.state.recommended or ())
    # Another trial ends: what is stored is not of this search any more.
    events = search.journal.events
    last = max(i for i, e in enumerate(events) if "-explore-" in e.get("trial_id", ""))
    less = SearchState(events[:last])
    write_explanation(tmp_path, search.experiment, less)
    assert path.read_bytes() != first
    write_explanation(tmp_path, search.experiment, search.state)
    assert path.read_bytes() == first


@pytest.mark.slow
def test_a_damaged_file_is_refused_and_made_again(
    searched: Callable[..., Search], tmp_path: Path
) -> None:
    search = searched()
    write_explanation(tmp_path, search.experiment, search.state)
    path = tmp_path / "explanation.json"
    whole = path.read_bytes()
    content = json.loads(whole)
    del content["checksum"]

    def without(key: str) -> dict[str, Any]:
        return {k: v for k, v in content.items() if k != key}

    one = content["dependence"][0]
    damages = [
        whole[:-30],
        json.dumps(without("trials")).encode(),
        json.dumps({**content, "paths": [{}]}).encode(),
        json.dumps({**content, "missing": 3}).encode(),
        json.dumps({**content, "dependence": [one | {"values": [1]}]}).encode(),
        json.dumps({**content, "dependence": [one | {"estimates": [["a", 1]]}]}).encode(),
        json.dumps({**content, "dependence": [one | {"values": [[]] * 33}]}).encode(),
        b'{"version": 1, "trials": [], "paths": [], "missing": "", "dependence": [{"key": "a", '
        b'"metric": "b", "values": [1], "estimates": [[NaN, 0]], "settings": 1}]}',
    ]
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(InputError, match=r"explanation\.json"):
            read_explanation(tmp_path)
        write_explanation(tmp_path, search.experiment, search.state)
        assert path.read_bytes() == whole


def test_a_file_of_another_version_is_none(tmp_path: Path) -> None:
    assert read_explanation(tmp_path) is None
    (tmp_path / "explanation.json").write_text('{"version": 2}')
    assert read_explanation(tmp_path) is None
