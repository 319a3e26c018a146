"""Values of a parameter and their positions in [0, 1)."""

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
