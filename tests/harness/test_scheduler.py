"""Successive halving, Pareto and plain, against a plain reading of the rules."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.experiment.search_section import SCALARISATIONS, SearchSection
from harness.search.schedulers.asha import ScalarSuccessiveHalving, scalarise
from harness.search.schedulers.interface import Scheduler
from harness.search.schedulers.pareto_asha import ParetoSuccessiveHalving
from harness.search.schedulers.registry import SCHEDULERS
from saat.metrics import OBJECTIVES
from tests.harness.fakes import cut, experiment, finished, outcome

Point = tuple[float, float]


def dominates(a: Point, b: Point) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def ranks_of(values: list[Point]) -> list[int]:
    """Non-dominated sorting by peeling fronts; values that are not finite come last."""
    ranks = [-1] * len(values)
    left = [i for i, v in enumerate(values) if all(map(math.isfinite, v))]
    rank = 0
    while left:
        front = [i for i in left if not any(dominates(values[j], values[i]) for j in left)]
        for i in front:
            ranks[i] = rank
        left = [i for i in left if i not in front]
        rank += 1
    return [rank if r < 0 else r for r in ranks]


class Plain:
    """The rule in words: of n at a rung, the n // η best by rank go on; none stop below η."""

    def __init__(self, grace: int, factor: int) -> None:
        self.rungs = {grace * factor**k: [] for k in range(20)}  # type: ignore[var-annotated]
        self.factor = factor

    def allowed(self, epoch: int, values: Point) -> set[bool]:
        """Decisions the rule leaves open: within a split front either way is right."""
        finite = all(map(math.isfinite, values))
        if epoch not in self.rungs:
            return {not finite}
        rung = self.rungs[epoch]
        rung.append(values)
        if not finite:
            return {True}
        if len(rung) < self.factor:
            return {False}
        ranks = ranks_of(rung)
        better = sum(r < ranks[-1] for r in ranks)
        equal = sum(r == ranks[-1] for r in ranks)
        kept = len(rung) // self.factor
        if better + equal <= kept:
            return {False}
        return {True} if better >= kept else {True, False}


coarse = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
value = st.one_of(coarse, st.floats(0, 1), st.just(math.nan))
reports = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 12), st.tuples(value, value)), max_size=60
)


@given(reports, st.integers(1, 3), st.integers(2, 4))
def test_decisions_follow_the_rule(
    told: list[tuple[int, int, Point]], grace: int, factor: int
) -> None:
    ours, plain = ParetoSuccessiveHalving(grace, factor), Plain(grace, factor)
    seen = set()
    for trial, epoch, values in told:
        if (trial, epoch) in seen:
            continue
        seen.add((trial, epoch))
        assert ours.should_stop(str(trial), epoch, values) in plain.allowed(epoch, values)


@given(reports)
def test_replaying_the_journal_rebuilds_the_rungs(told: list[tuple[int, int, Point]]) -> None:
    first, replayed = ParetoSuccessiveHalving(1, 2), ParetoSuccessiveHalving(1, 2)
    for trial, epoch, values in told:
        first.should_stop(str(trial), epoch, values)
    for trial, epoch, values in told:
        replayed.should_stop(str(trial), epoch, values)
    for probe in itertools.product((1, 2, 4, 8), ((0.5, 0.5), (0.9, 0.1))):
        epoch, values = probe
        assert first.should_stop("new", epoch, values) == replayed.should_stop("new", epoch, values)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_fewer_than_the_reduction_factor_at_a_rung_go_on(factor: int) -> None:
    scheduler = ParetoSuccessiveHalving(1, factor)
    for trial in range(factor - 1):
        worse = (0.5 - trial / 10, 0.5 - trial / 10)
        assert not scheduler.should_stop(str(trial), 1, worse)
    assert scheduler.should_stop("last", 1, (0.0, 0.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("epoch", [1, 3])
def test_values_that_are_not_finite_stop_at_any_epoch(bad: float, epoch: int) -> None:
    scheduler = ParetoSuccessiveHalving(1, 2)
    assert scheduler.should_stop("a", epoch, (bad, 0.5))
    assert scheduler.should_stop("b", epoch, (0.5, bad))


def test_between_rungs_nobody_stops() -> None:
    scheduler = ParetoSuccessiveHalving(2, 3)
    stops = {
        epoch
        for epoch in range(1, 30)
        for trial in range(12)
        if scheduler.should_stop(str(trial), epoch, (1 - trial / 12, 1 - trial / 12))
    }
    assert stops == {2, 6, 18}


def test_a_dominated_trial_stops_and_the_front_goes_on() -> None:
    scheduler = ParetoSuccessiveHalving(1, 2)
    front = [(0.1, 0.9), (0.5, 0.5), (0.9, 0.1)]
    weak = [(0.1, 0.1), (0.2, 0.05), (0.05, 0.2)]
    for number, values in enumerate(weak):
        scheduler.should_stop(f"weak-{number}", 1, values)
    for number, values in enumerate(front):
        assert not scheduler.should_stop(f"front-{number}", 1, values)
    assert scheduler.should_stop("dominated", 1, (0.4, 0.4))


def test_where_the_front_does_not_fit_those_far_apart_are_kept() -> None:
    scheduler = ParetoSuccessiveHalving(1, 2)
    for number, x in enumerate((0.0, 1.0, 0.5, 0.52, 0.49)):
        scheduler.should_stop(str(number), 1, (x, 1 - x))
    assert scheduler.should_stop("crowded", 1, (0.51, 0.49))
    lonely = ParetoSuccessiveHalving(1, 2)
    for number, x in enumerate((0.5, 0.51, 0.52, 0.49, 0.48)):
        lonely.should_stop(str(number), 1, (x, 1 - x))
    assert not lonely.should_stop("far", 1, (0.0, 1.0))


SCALARS: dict[str, Any] = {
    "clean": lambda clean, robust: clean,
    "robust": lambda clean, robust: robust,
    "mean": lambda clean, robust: (clean + robust) / 2,
    "hypervolume": lambda clean, robust: clean * robust,
}
WEIGHTED = {"clean": 0.25, "robust": 0.75}


def scalar(scalarisation: Any, values: Point) -> float:
    if isinstance(scalarisation, str):
        return float(SCALARS[scalarisation](*values))
    clean, robust = scalarisation.get("clean", 0), scalarisation.get("robust", 0)
    return float(clean * values[0] + robust * values[1])


@pytest.mark.parametrize("scalarisation", [*SCALARISATIONS, WEIGHTED, {"robust": 2.0}])
def test_scalarisations(scalarisation: Any) -> None:
    values = [(0.2, 0.8), (0.9, 0.3), (0.0, 1.0)]
    expected = [scalar(scalarisation, row) for row in values]
    assert np.allclose(scalarise(scalarisation, np.array(values)), expected, atol=1e-15)


class PlainAsha:
    """The rule in words: at a rung go on those with fewer than n // η better or earlier equals."""

    def __init__(self, grace: int, factor: int, scalarisation: Any) -> None:
        self.rungs: dict[int, list[float]] = {grace * factor**k: [] for k in range(20)}
        self.factor, self.scalarisation = factor, scalarisation

    def stops(self, epoch: int, values: Point) -> bool:
        finite = all(map(math.isfinite, values))
        if epoch not in self.rungs:
            return not finite
        before = self.rungs[epoch]
        own = scalar(self.scalarisation, values) if finite else -math.inf
        better = sum(other >= own for other in before)
        before.append(own)
        if not finite:
            return True
        return len(before) >= self.factor and better >= len(before) // self.factor


# Powers of two, or their scaled sums differ by rounding between two correct ways of adding.
exact = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf])
exact_reports = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 9), st.tuples(exact, exact)),
    max_size=60,
    unique_by=lambda told: told[:2],
)


@given(
    exact_reports,
    st.integers(1, 3),
    st.integers(2, 4),
    st.sampled_from([*SCALARISATIONS, WEIGHTED, {"clean": 0.0, "robust": 1.0}]),
)
def test_asha_follows_the_rule(
    told: list[tuple[int, int, Point]], grace: int, factor: int, scalarisation: Any
) -> None:
    ours = ScalarSuccessiveHalving(grace, factor, scalarisation)
    plain = PlainAsha(grace, factor, scalarisation)
    for trial, epoch, values in told:
        assert ours.should_stop(str(trial), epoch, values) == plain.stops(epoch, values)


def test_a_late_trial_is_compared_with_all_that_reached_its_rung_before() -> None:
    scheduler = ScalarSuccessiveHalving(1, 2, "robust")
    for number, robust in enumerate((0.5, 0.6, 0.7)):
        scheduler.should_stop(str(number), 1, (0.9, robust))
    assert not scheduler.should_stop("0", 2, (0.9, 0.1)), "the first at its rung"
    assert scheduler.should_stop("late", 1, (1.0, 0.55))
    assert not scheduler.should_stop("best", 1, (0.0, 0.65)), "the second of five, two go on"


def test_what_pareto_keeps_plain_asha_stops() -> None:
    pareto, plain = ParetoSuccessiveHalving(1, 2), ScalarSuccessiveHalving(1, 2, "robust")
    for scheduler, stops in ((pareto, False), (plain, True)):
        scheduler.should_stop("robust", 1, (0.1, 0.9))
        scheduler.should_stop("middle", 1, (0.05, 0.5))
        scheduler.should_stop("weak", 1, (0.0, 0.2))
        assert scheduler.should_stop("clean", 1, (0.9, 0.1)) is stops


def made_from(search: SearchSection, epochs: int) -> Scheduler:
    return SCHEDULERS[search.scheduler].for_search(search, epochs, OBJECTIVES)


def test_without_a_scheduler_no_trial_stops() -> None:
    never = made_from(SearchSection.model_validate({"scheduler": "none"}), 8)
    assert not any(never.should_stop(str(i), 4, (-i, math.nan)) for i in range(9))
    assert list(never.rungs(8)) == []


def test_the_section_makes_its_scheduler() -> None:
    raw = {"scheduler": "asha", "scalarisation": {"clean": 1, "robust": "1/2"}}
    made = made_from(SearchSection.model_validate(raw), 9)
    assert isinstance(made, ScalarSuccessiveHalving)
    assert made.scalarisation == {"clean": 1.0, "robust": 0.5}
    assert isinstance(made_from(SearchSection(), 9), ParetoSuccessiveHalving)


@pytest.mark.parametrize(
    ("asked", "epochs", "rungs"),
    [
        ("auto", 9, [5]),
        ("auto", 8, [4, 8]),
        ("auto", 1, [1, 2, 4, 8]),
        ("auto", 0, [1, 2, 4, 8]),  # an undefended model
        (2, 9, [2, 4, 8]),
    ],
)
def test_rungs_begin_halfway_unless_told(asked: Any, epochs: int, rungs: list[int]) -> None:
    search = SearchSection.model_validate({"grace_period": asked, "reduction_factor": 2})
    scheduler = made_from(search, epochs)
    assert list(scheduler.rungs(10)) == rungs
    for epoch in range(1, 10):
        scheduler.should_stop("good", epoch, (0.9, 0.9))
        stopped = scheduler.should_stop("bad", epoch, (0.1, 0.1))
        assert stopped is (epoch in rungs)


@pytest.mark.lengthy
@pytest.mark.usefixtures("no_fsync")
@pytest.mark.parametrize(
    ("scalarisation", "fails"),
    [("clean", (0.1, 0.5)), ("hypervolume", (1.5, 6.0)), (WEIGHTED, (1.5, 6.0))],
)
def test_a_search_under_asha_is_the_same_wherever_it_was_cut(
    tmp_path: Path, scalarisation: Any, fails: tuple[float, float]
) -> None:
    changes: dict[str, Any] = {
        "search__scheduler": "asha",
        "search__margin": None,  # belongs to the other scheduler
        "search__scalarisation": scalarisation,
        "search__sampler": "random",
        "search__num_samples": 8,
        "defense__epochs": 4,
        "confirm__seeds": 1,
    }
    searched = experiment(**changes)
    whole = finished(tmp_path / "whole", searched, fails=fails)
    expected = {i: outcome(r) for i, r in whole.state.trials.items()}
    events = whole.journal.events
    assert {r.status for r in whole.state.trials.values()} == {"completed", "stopped", "failed"}
    for count in range(1, len(events) + 1):
        cut(events, count, tmp_path / str(count))
        again = finished(tmp_path / str(count), searched, fails=fails)
        assert {i: outcome(r) for i, r in again.state.trials.items()} == expected, count
        assert [e["event"] for e in again.journal.events] == [e["event"] for e in events], count


def test_of_equal_trials_under_asha_the_first_at_the_rung_goes_on() -> None:
    scheduler = ScalarSuccessiveHalving(1, 2, "clean")
    assert not scheduler.should_stop("first", 1, (0.5, 0.1))
    assert scheduler.should_stop("second", 1, (0.5, 0.9))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_within_the_margin_of_the_front_every_trial_goes_on(values: list[Point]) -> None:
    """With a margin a trial goes on if it would without, or lacks less than that to be on it."""
    strict, lenient = ParetoSuccessiveHalving(1, 2), ParetoSuccessiveHalving(1, 2, margin=0.1)
    for number, value in enumerate(values):
        raised = (value[0] + 0.1, value[1] + 0.1)
        near = not any(all(x >= y for x, y in zip(v, raised, strict=True)) for v in values[:number])
        stops = strict.should_stop(str(number), 1, value)
        assert lenient.should_stop(str(number), 1, value) == (stops and not near)


def test_a_probe_ends_at_the_first_rung_and_no_other(tmp_path: Path) -> None:
    """Probes of the sampler ehvi stop there whatever their values are; no default does."""
    searched = experiment(
        search__sampler="ehvi", search__num_samples=9, search__margin=1, search__grace_period=2
    )
    records = finished(tmp_path, searched).state.of_phase("explore")
    probes = [r for r in records if "probe" in r.notes]
    others = [r for r in records if "probe" not in r.notes]
    assert len(probes) >= 1
    assert {(r.status, len(r.epochs)) for r in probes} == {("stopped", 2)}
    assert {r.stop_reason for r in probes} == {"a probe, which ends at epoch 2"}
    assert {r.status for r in others} == {"completed"}
