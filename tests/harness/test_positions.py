"""Values of a parameter and their positions in [0, 1)."""

import math
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import create_trial

from harness.experiment.space import Dimension
from harness.search.samplers.ehvi.encoding import Axis, SpaceEncoding


def axis_of(given: dict[str, Any]) -> Axis:
    return Axis(Dimension.model_validate(given).distribution())


@pytest.mark.parametrize(
    "given",
    [
        {"choice": [16, 32, 64]},
        {"choice": ["dph", "csq"]},
        {"int": [1, 10]},
        {"int": [1, 1000], "log": True},
        {"int": [2, 11], "step": 4},
        {"float": [0.1, 10.0], "log": True},
        {"float": [0.0, 2.0]},
        {"float": [0.0, 1.0], "step": 0.3},
        {"float": [0.1, 0.3], "step": 0.1},  # 0.1 + 2 · 0.1 > 0.3
        {"float": [0.1, 0.7], "step": 0.2},
        {"float": [0.5, 0.5]},
        {"int": [3, 3]},
    ],
)
def test_positions_are_the_inverse_of_values(given: dict[str, Any]) -> None:
    dimension, axis = Dimension.model_validate(given), axis_of(given)
    seen = set()
    for share in np.linspace(0, np.nextafter(1, 0), 997):
        value = axis.value_at(float(share))
        assert dimension.contains(value)
        assert type(value) is type((dimension.choice or dimension.int_range or [0.5])[0])
        position = axis.position(value)
        assert 0 <= position <= 1
        assert axis.value_at(min(position, np.nextafter(1, 0))) == pytest.approx(value)
        seen.add(value)
    if dimension.choice is not None:
        assert seen == set(dimension.choice)
    if given.get("int") == [1, 10]:
        assert seen == set(range(1, 11))
    if "step" in given:
        low, high = dimension.bounds
        assert sorted(seen) == pytest.approx(np.arange(low, high + 1e-9, given["step"]).tolist())


@pytest.mark.parametrize(
    "given",
    [{"int": [1, 10]}, {"float": [0.0, 1.0], "step": 0.25}, {"int": [2, 11], "step": 4}],
)
def test_every_value_has_an_equal_share(given: dict[str, Any]) -> None:
    axis = axis_of(given)
    shares = (np.arange(1200) + 0.5) / 1200
    _, counts = np.unique([axis.value_at(float(s)) for s in shares], return_counts=True)
    assert set(counts) == {1200 // len(counts)}


def test_a_choice_stands_in_the_middle_of_its_share() -> None:
    axis = axis_of({"choice": [16, 32, 64, 128]})
    positions = [axis.position(bits) for bits in (16, 32, 64, 128)]
    assert positions == [0.125, 0.375, 0.625, 0.875]


def test_a_number_outside_the_bounds_lies_outside() -> None:
    axis = axis_of({"float": [0.1, 10.0], "log": True})
    assert axis.position(100.0) == pytest.approx(1.5)
    assert axis.position(0.01) == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="not in tuple"):
        axis_of({"choice": [16, 32]}).position(64)


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        ({"choice": [16, 32]}, [16, 32.0], [17, "16", None, [16]]),
        ({"choice": ["dph", True]}, ["dph", True], ["csq", 0, None]),
        ({"int": [2, 11], "step": 4}, [2, 6, 10.0], [1, 3, 11, 14, 6.5, "x", None, math.nan]),
        ({"int": [1, 1000], "log": True}, [1, 999], [0, 1001, -1, 1.5]),
        ({"float": [0.1, 0.7], "step": 0.2}, [0.1, 0.3, 0.1 + 0.2 * 3 - 1e-10], [0.2, 0.75, 0.0]),
        ({"float": [0.1, 10.0], "log": True}, [0.1, 5, 10], [0.09, 11, -1, math.inf, [], "x"]),
    ],
)
def test_a_value_is_contained_where_optuna_says_so(
    given: dict[str, Any], inside: list[Any], outside: list[Any]
) -> None:
    dimension = Dimension.model_validate(given)
    distribution = dimension.distribution()
    for value in (*inside, *outside):
        try:
            theirs = create_trial(value=0, params={"x": value}, distributions={"x": distribution})
        except (TypeError, ValueError):
            theirs = None
        assert dimension.contains(value) is bool(theirs) is (value in inside)


def encoding_of(space: dict[str, dict[str, Any]], applies: Any = None) -> SpaceEncoding:
    dimensions = {key: Dimension.model_validate(given) for key, given in space.items()}
    return SpaceEncoding({key: d.distribution() for key, d in dimensions.items()}, applies)


MIXED: dict[str, dict[str, Any]] = {
    "hashing": {"choice": ["dph", "csq", "dpn"]},
    "lambda": {"float": [0.1, 10.0], "log": True},
    "steps": {"int": [1, 10]},
    "queries": {"int": [1, 1000], "log": True},
    "eps": {"float": [0.0, 1.0], "step": 0.25},
    "bits": {"choice": [16, 32]},
}


def applies(key: str, point: Any) -> bool:
    return key != "lambda" or point["hashing"] == "csq"


@pytest.mark.parametrize("conditions", [None, applies])
def test_placed_positions_are_those_of_the_decoded_points(conditions: Any) -> None:
    encoding = encoding_of(MIXED, conditions)
    rows = np.random.default_rng(0).random((200, len(MIXED)))
    points = [encoding.decode(row) for row in rows]
    placed = encoding.placed(rows)
    assert placed == pytest.approx(encoding.positions(points), nan_ok=True)
    assert np.isnan(placed).any() == (conditions is not None)
    assert encoding.columns(placed) == pytest.approx(encoding.encode(points))
    assert encoding.parameters.tolist() == [0, 0, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("conditions", [None, applies])
def test_single_changes_are_all_points_that_differ_in_one_short_parameter(conditions: Any) -> None:
    encoding = encoding_of(MIXED, conditions)
    point = encoding.decode(np.full(len(MIXED), 0.5)) | {"queries": 7}
    assert point["hashing"] == "csq"
    rows = encoding.single_changes(encoding.positions([point]), np.random.default_rng(0))
    changed = [encoding.decode(row) for row in rows]
    for key, values in (("hashing", 3), ("steps", 10), ("eps", 5), ("bits", 2)):
        assert len({p[key] for p in changed if p[key] != point[key]}) == values - 1
    for other in changed:
        different = {key for key in MIXED if other.get(key) != point.get(key)}
        own = {"hashing", "lambda"} if conditions else {"hashing"}
        assert len(different) <= 1 or different == own
        assert ("lambda" in other) == (conditions is None or other["hashing"] == "csq")


def test_neighbours_change_words_seldom_and_numbers_a_little() -> None:
    encoding = encoding_of(MIXED)
    start = encoding.positions([encoding.decode(np.full(len(MIXED), 0.5))])
    rows = encoding.neighbours(start, 400, 0.03, np.random.default_rng(0))
    assert rows.shape == (400, len(MIXED))
    same = np.isclose(rows[:, 0], start[0, 0])
    assert 0.8 < same.mean() < 0.95  # one sixth changes, and one third of these to the same word
    assert 0.02 < rows[:, 1].std() < 0.04


def test_missing_parameters_and_the_word_none_are_different() -> None:
    distribution = optuna.distributions.CategoricalDistribution(("a", None))
    encoding = SpaceEncoding({"word": distribution})
    assert encoding.encode([{"word": "a"}, {"word": None}, {}]).tolist() == [
        [0.5, 0.0],
        [0.0, 0.5],
        [0.0, 0.0],
    ]
