"""Values of a parameter and their positions in [0, 1)."""

import math
from typing import Any

import numpy as np
import pytest

from harness.experiment.space import Dimension
from harness.search.samplers.ehvi.encoding import Axis


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
            theirs = distribution._contains(distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            theirs = False
        assert dimension.contains(value) is bool(theirs) is (value in inside)
