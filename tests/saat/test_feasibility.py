"""What a search is after: directions, references, one scale for the scheduler, constraints."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saat.errors import InputError
from saat.feasibility import Aims, Constraints, Preference
from saat.metrics import METRICS, Phase, with_trial_metrics

THREE: dict[str, Any] = {
    "objectives": {
        "val/clean_map": "max",
        "val/target_map": "min",
        "val/device_seconds": {"min": 600},
    },
    "constraints": {"val/code_length": {"at_most": 32}, "val/clean_map": {"at_least": 0.5}},
}
METRICS_OF_A_TRIAL = {
    "reattack/clean_map": 0.7,
    "reattack/target_map": 0.4,
    "reattack/device_seconds": 150.0,
    "reattack/code_length": 32.0,
    "val/clean_map": 0.6,
    "val/device_seconds": 80.0,
}


def test_values_are_in_their_own_units_and_oriented_ones_are_better_when_larger() -> None:
    aims = Aims.of(THREE)
    assert aims.names == ("clean_map", "target_map", "device_seconds")
    values = aims.values(METRICS_OF_A_TRIAL)
    assert values == (0.7, 0.4, 150.0)
    assert aims.oriented(values).tolist() == [0.7, -0.4, -150.0]
    assert aims.corner == (0.0, -1.0, -600.0)
    assert aims.oriented([]).shape == (0, 3)
    assert aims.oriented([values, values]).shape == (2, 3)


def test_shares_begin_at_the_reference_and_end_at_the_best_value() -> None:
    aims = Aims.of(THREE)
    assert aims.shares([0.0, 1.0, 600.0]).tolist() == [0, 0, 0]
    assert aims.shares([1.0, 0.0, 0.0]).tolist() == [1, 1, 1]
    assert aims.shares([0.5, 0.25, 900.0]).tolist() == [0.5, 0.75, -0.5]


@given(st.floats(0, 1), st.floats(0, 1))
def test_maps_that_are_maximised_are_their_own_shares(clean: float, robust: float) -> None:
    assert Aims.of({}).shares([clean, robust]).tolist() == [clean, robust]


def test_what_validation_does_not_measure_is_nan_after_an_epoch() -> None:
    aims = Aims.of(THREE)
    values = aims.validation_values(METRICS_OF_A_TRIAL)
    assert values is not None
    assert (values[0], values[2]) == (0.6, 80.0)
    assert math.isnan(values[1])
    assert aims.validated == (0, 2)
    assert aims.validation_values({"train/loss": 1.0}) is None


@pytest.mark.parametrize(
    ("content", "reference"),
    [
        ({"model": {"bits": 48}}, 96),
        ({"model": {"bits": 48}, "space": {"model.bits": {"choice": [16, 64, 32]}}}, 128),
        ({"model": {"bits": 48}, "space": {"model.bits": {"int": [8, 24]}}}, 48),
        ({"objectives": {"val/clean_map": "max", "val/code_length": {"min": 40}}}, 40),
    ],
)
def test_the_longest_code_of_the_space_decides_the_reference_of_the_length(
    content: dict[str, Any], reference: float
) -> None:
    aims = Aims.of({"objectives": {"val/clean_map": "max", "val/code_length": "min"}} | content)
    assert aims.objectives[1].reference == reference
    assert aims.corner == (0.0, -reference)


def test_an_objective_without_a_worst_value_names_its_reference() -> None:
    plain = {"objectives": {"val/clean_map": "max", "val/device_seconds": "min"}}
    with pytest.raises(InputError, match=r"val/device_seconds: \{min: 600\}"):
        Aims.of(plain)


def test_an_objective_of_no_installed_package_is_named() -> None:
    with pytest.raises(InputError, match=r"val/speed: no installed package"):
        Aims.of({"objectives": {"val/speed": "max", "val/clean_map": "max"}})
    named = Aims.of({"objectives": {"val/speed": {"max": 3}, "val/clean_map": "max"}})
    assert named.values({"reattack/speed": 5.0, "reattack/clean_map": 0.5}) == (5.0, 0.5)


@given(st.floats(0, 1), st.floats(0, 100), st.floats(0, 1), st.floats(0, 100))
def test_bounds_hold_from_both_sides(least: float, most: float, clean: float, bits: float) -> None:
    asked = Constraints.of(
        {"val/clean_map": {"at_least": least}, "val/code_length": {"at_most": most}}
    )
    metrics = {"reattack/clean_map": clean, "reattack/code_length": bits}
    assert asked.are_kept(metrics) == (clean >= least and bits <= most)
    assert asked.violations(metrics) == {"clean_map": least - clean, "code_length": bits - most}
    assert not asked.are_kept({"reattack/clean_map": clean})


def test_a_constraint_bounds_the_objective_on_the_side_that_is_worse() -> None:
    aims = Aims.of(THREE)
    assert [aims.constraints.bound_of(o) for o in aims.objectives] == [0.5, None, None]
    content = THREE | {"constraints": {"val/target_map": {"at_most": 0.3}}}
    assert Aims.of(content).constraints.bound_of(aims.objectives[1]) == 0.3


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ({}, None),
        ({"val/target_map": 2}, Preference((0.0, 2.0, 0.0), (None, None, None))),
        (
            {"val/clean_map": {"at_least": 0.8}, "val/target_map": {"at_most": 0.2}},
            Preference(None, (0.8, 0.2, None)),
        ),
    ],
)
def test_preferences_are_in_the_order_of_the_objectives(
    prefer: dict[str, Any], expected: Preference | None
) -> None:
    assert Aims.of(THREE | {"search": {"prefer": prefer}}).preference == expected


@pytest.mark.parametrize(
    ("objectives", "low", "allowed"),
    [
        ({}, "robust", False),
        ({"val/clean_map": "max", "val/target_map": "min"}, "robust", True),
        ({"val/code_length": "min", "val/target_map": "min"}, "clean", False),
    ],
)
def test_a_map_at_chance_matters_where_the_search_aims_for_it(
    objectives: dict[str, str], low: str, allowed: bool
) -> None:
    content = {"objectives": objectives, "model": {"bits": 16}} if objectives else {}
    lifts = {f"reattack/lift.{name}": 0.0 if name == low else 0.5 for name in ("clean", "robust")}
    assert Aims.of(content).are_above_chance(lifts) == allowed


def test_seconds_are_measured_wherever_the_trial_was() -> None:
    found = with_trial_metrics({"train/loss": 1.0, "val/clean_map": 0.5}, 12.5)
    assert found == {"train/loss": 1.0, "val/clean_map": 0.5, "val/device_seconds": 12.5}
    assert with_trial_metrics({"train/loss": 1.0}, 12.5) == {"train/loss": 1.0}
    assert with_trial_metrics({"other/x": 1.0}, 12.5) == {"other/x": 1.0}
    of_trial = {name for name, entry in METRICS.items() if entry.of_trial}
    every = {phase.key("clean_map"): 0.5 for phase in Phase}
    added = with_trial_metrics(every, 1.0).keys() - every.keys()
    assert added == {p.key(n) for n in of_trial for p in METRICS[n].phases}


def test_a_point_below_the_corner_adds_no_volume() -> None:
    aims = Aims.of(THREE)
    assert np.all(aims.oriented([0.5, 0.5, 599.0]) > np.array(aims.corner))
    assert not np.all(aims.oriented([0.5, 0.5, 600.0]) > np.array(aims.corner))
