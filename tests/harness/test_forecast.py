"""Ends of trials that did not end, against a plain reading of the rules."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.search.samplers.ehvi.forecast import Forecaster, Observation

PLANNED = 5
Pairs = list[tuple[float, float]]


def curve(
    epochs: Pairs, final: tuple[float, float] | None = None, planned: int = PLANNED
) -> Observation:
    end = None if final is None else np.array(final)
    return Observation({}, np.array(epochs, dtype=np.float64).reshape(-1, 2), planned, end)


def both(known: list[Observation], one: Observation) -> tuple[np.ndarray, np.ndarray]:
    """Means (2,) and variances (2,) of the forecasts of one trial."""
    mean, variance = np.array([Forecaster(known, axis)(one) for axis in (0, 1)]).T
    return mean, variance


def plain_moments(gains: list[float], at: int) -> tuple[float, float]:
    expected = 0.02 * (1 - at / (PLANNED + 1)) + 0.003
    mean = sum(gains) / (len(gains) + 1)
    scatter = sum((gain - mean) ** 2 for gain in gains) + 3 * expected**2
    return mean, scatter / (max(len(gains) - 1, 0) + 3)


def plain_forecast(one: Observation, known: list[Observation], axis: int) -> tuple[float, float]:
    """Mean and variance of one objective."""
    if one.final is not None:
        return float(one.final[axis]), 0.0
    begun = len(one.epochs)
    ends = [c for c in known if c.final is not None and len(c.epochs) >= begun]
    if len(ends) >= 4:
        gains = [float(c.final[axis] - c.epochs[begun - 1][axis]) for c in ends]  # type: ignore[index]
        mean, variance = plain_moments(gains, begun)
        return float(one.epochs[-1][axis]) + mean, variance
    total, spread = float(one.epochs[-1][axis]), 0.0
    for at in range(begun, PLANNED + 1):
        steps = []
        for c in known:
            if at < PLANNED and len(c.epochs) > at:
                steps.append(float(c.epochs[at][axis] - c.epochs[at - 1][axis]))
            if at == PLANNED and c.final is not None and len(c.epochs):
                steps.append(float(c.final[axis] - c.epochs[-1][axis]))
        mean, variance = plain_moments(steps, at)
        total, spread = total + mean, spread + variance
    return total, spread


unit = st.floats(0, 1)
running = st.lists(st.tuples(unit, unit), min_size=1, max_size=PLANNED).map(curve)
completed = st.tuples(
    st.lists(st.tuples(unit, unit), min_size=PLANNED, max_size=PLANNED), st.tuples(unit, unit)
).map(lambda parts: curve(*parts))


@settings(max_examples=60)
@given(st.lists(running, min_size=1, max_size=5), st.lists(completed, max_size=6))
def test_forecasts_equal_the_plain_rule(begun: list[Observation], ended: list[Observation]) -> None:
    known = [*begun, *ended]
    for axis in (0, 1):
        forecaster = Forecaster(known, axis)
        for one in known:
            plain = plain_forecast(one, known, axis)
            assert forecaster(one) == pytest.approx(plain, abs=1e-12)


def test_an_objective_that_validation_does_not_measure_has_a_forecast_from_nothing() -> None:
    """The other one has the forecast that it would have alone, at the epochs that measured it."""
    nan = math.nan
    ended = [curve([(x, nan)] * PLANNED, (x + 0.1, 0.7)) for x in (0.1, 0.2, 0.3, 0.4)]
    stopped = curve([(0.2, nan), (nan, nan), (0.3, nan), (nan, nan)])
    known = [*ended, stopped]
    assert Forecaster(known, 1)(ended[0]) == (0.7, 0.0)
    assert all(map(math.isnan, Forecaster(known, 1)(stopped)))
    third = curve([(0.2, 0.0), (0.2, 0.0), (0.3, 0.0)])
    assert Forecaster(known, 0)(stopped) == Forecaster([*ended, third], 0)(third)
    assert stopped.usable
    assert not curve([(nan, nan)]).usable
    assert not curve([(0.2, math.inf)]).usable


def test_epochs_that_are_not_measured_are_stepped_over() -> None:
    """Epochs 2 and 5 of five: gains go from 2 to 5 to the end."""

    def sparse(values: Pairs, numbers: tuple[int, ...], final: Any = None) -> Observation:
        return replace(curve(values, final), measured=numbers)

    ended = [sparse([(0.2, 0.2), (0.4, 0.3)], (2, 5), (0.5, 0.5))] * 3
    stopped = sparse([(0.3, 0.1)], (2,))
    mean, variance = both([*ended, stopped], stopped)
    for axis, steps in ((0, (0.2, 0.1)), (1, (0.1, 0.2))):
        parts = [plain_moments([step] * 3, at) for step, at in zip(steps, (2, 5), strict=True)]
        start = float(stopped.epochs[0][axis])
        assert mean[axis] == pytest.approx(start + sum(m for m, _ in parts))
        assert variance[axis] == pytest.approx(sum(v for _, v in parts))
    direct, _ = both([*ended, ended[0], stopped], stopped)
    assert direct == pytest.approx([0.3 + 0.8 * 0.3, 0.1 + 0.8 * 0.3])
    nothing, _ = both([stopped], stopped)
    assert nothing.tolist() == [0.3, 0.1]


def test_a_completed_trial_has_what_it_has() -> None:
    ended = curve([(0.1, 0.1)] * PLANNED, (0.7, 0.4))
    mean, variance = both([ended], ended)
    assert mean.tolist() == [0.7, 0.4]
    assert variance.tolist() == [0.0, 0.0]


def test_what_all_others_gained_is_expected_of_the_next() -> None:
    """Nine trials that gain 0.2 and lose 0.1 to the end; with more of them the prior fades."""
    ended = [curve([(x, 0.5)] * PLANNED, (x + 0.2, 0.4)) for x in np.linspace(0.3, 0.5, 9).tolist()]
    stopped = curve([(0.4, 0.6)])
    mean, variance = both([*ended, stopped], stopped)
    assert mean == pytest.approx([0.4 + 0.18, 0.6 - 0.09])
    many, less = both([*ended * 20, stopped], stopped)
    assert many == pytest.approx([0.6, 0.5], abs=2e-3)
    assert (less < variance).all()


def test_an_early_epoch_is_less_certain_than_a_late_one() -> None:
    early, late = curve([(0.4, 0.4)]), curve([(0.4, 0.4)] * PLANNED)
    spreads = [Forecaster([], 0)(one)[1] for one in (early, late)]
    assert spreads[0] > spreads[1] > 0
    assert all(map(math.isfinite, spreads))


def test_trainings_of_another_length_say_nothing_of_what_is_gained_to_the_end() -> None:
    """They tell the gains of single epochs only."""
    flat, rising = [(0.4, 0.4)] * PLANNED, [(0.4 + 0.1 * i, 0.4) for i in range(PLANNED)]
    ended = [curve(flat, (0.4, 0.4))] * 6
    longer = [curve([*rising, (0.9, 0.4)], planned=PLANNED + 2)] * 6
    one = curve(rising, planned=PLANNED + 2)
    mean, _ = both([*ended, *longer, one], one)
    assert mean[0] > rising[-1][0] + 0.05
    same, _ = both([*ended, one], curve(flat))
    assert same == pytest.approx([0.4, 0.4])
