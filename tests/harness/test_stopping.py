"""Rules that end exploring early, alone and within searches that are cut anywhere."""

import io
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from harness.experiment.config import Experiment
from harness.experiment.search_section import SearchSection
from harness.journal.state import SearchState
from harness.search.search import Search
from harness.search.stopping import stop_reason
from harness.session.progress import Progress
from harness.session.status import render, status_of
from tests.harness.fakes import cut, experiment, finished, outcome
from tests.harness.tiny import spec_of, tiny

pytestmark = pytest.mark.usefixtures("no_fsync")
FAILS = (3.0, 5.0)


class Clock:
    """A clock that goes on by ten seconds an event."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "time", self)

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


def told(*events: tuple[float, dict[str, Any]]) -> SearchState:
    return SearchState({"seq": seq, "time": at, **e} for seq, (at, e) in enumerate(events))


def rules(**given: Any) -> Experiment:
    return tiny({"search.stop": given})


def history(*points: tuple[float, float] | None, warm: tuple[float, float] | None = None) -> Any:
    """A state of completed trials with these objectives (None: the trial failed)."""
    spec = spec_of(tiny()).dump()
    events: list[dict[str, Any]] = [{"event": "started"}]
    common = {"config_hash": "", "point": {}, "notes": {}}
    if warm:
        metrics = {"reattack/clean_map": warm[0], "reattack/robust_map": warm[1]}
        old = {"trial": {**spec, "trial_id": "old"}, "metrics": metrics, **common}
        events.append({"event": "warm_started", "trials": [old]})
    for number in range(len(points)):
        events.append({"event": "suggested", "trial": {**spec, "trial_id": f"{number}"}, **common})
    for number, point in reversed(list(enumerate(points))):  # the last suggested completes first
        end: dict[str, Any] = {"event": "failed", "stop_reason": "x", "trial_id": f"{number}"}
        if point:
            metrics = {"reattack/clean_map": point[0], "reattack/robust_map": point[1]}
            end = {"event": "completed", "trial_id": f"{number}", "metrics": metrics}
        events.append(end | {"cost_s": 2.0})
    return told(*((0.0, event) for event in events))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(90, 90), ("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), (" 1d ", 86400), ("1e2", 100)],
)
def test_durations(value: Any, seconds: float) -> None:
    search = SearchSection.model_validate({"stop": {"time": value, "cost": value}})
    assert (search.stop.time, search.stop.cost) == (seconds, seconds)


def test_time_counts_from_the_first_event_to_the_latest() -> None:
    state = told((5.0, {"event": "started"}), (14.9, {"event": "anything"}))
    assert stop_reason(rules(time=10), state) == ""
    state.apply({"seq": 2, "time": 15.0, "event": "anything"})
    assert stop_reason(rules(time=10), state) == "time: 10 s have passed, 10 s were given"
    assert stop_reason(rules(), state) == ""


def test_cost_is_the_work_of_all_explore_trials() -> None:
    state = history((0.5, 0.5), None, (0.4, 0.4))
    assert stop_reason(rules(cost=6.1), state) == ""
    assert stop_reason(rules(cost=6), state) == "cost: 6 s of work are done, 6 s were given"


LAST_FIRST = [(0.52, 0.5), (0.1, 0.1), None, (0.5, 0.5)]  # in the order of completion: reversed


@pytest.mark.parametrize(
    ("points", "trials", "tolerance", "stops"),
    [
        (LAST_FIRST, 1, 0.05, True),  # 0.25 -> 0.26
        (LAST_FIRST, 1, 0.03, False),
        (LAST_FIRST, 2, 0.05, True),  # the failed one is none of the last two
        (LAST_FIRST, 2, 0.03, False),
        (LAST_FIRST, 3, 0.5, False),  # nothing before these three
        (LAST_FIRST[::-1], 1, 0.0, True),  # the order of completion counts
        ([(0.1, 0.1), (math.nan, 0.1), (0.1, 0.1)], 1, 0.0, True),  # equal is no growth
        ([(0.1, 0.1), (math.nan, 0.1), (0.1, 0.1)], 2, 9.9, False),  # NaN is no completed trial
        ([], 1, 0.0, False),
    ],
)
def test_stagnation(points: list[Any], trials: int, tolerance: float, stops: bool) -> None:
    rule = rules(stagnation={"trials": trials, "tolerance": tolerance})
    assert bool(stop_reason(rule, history(*points))) is stops


def test_trials_of_earlier_searches_are_what_growth_is_measured_from() -> None:
    rule = rules(stagnation={"trials": 2, "tolerance": 0})
    assert not stop_reason(rule, history((0.1, 0.1), (0.2, 0.2)))
    assert stop_reason(rule, history((0.1, 0.1), (0.2, 0.2), warm=(0.2, 0.2)))
    assert not stop_reason(rule, history((0.1, 0.1), (0.3, 0.2), warm=(0.2, 0.2)))
    assert not stop_reason(rule, history((0.1, 0.1), warm=(0.2, 0.2)))


def test_trials_below_a_constraint_are_no_growth_and_nothing_stagnates_without_others() -> None:
    stop = {"stagnation": {"trials": 1, "tolerance": 0}}
    bound = tiny({"search.stop": stop, "constraints": {"val/clean_map": {"at_least": 0.5}}})
    grows = history((0.4, 0.9), (0.5, 0.1))  # in the order of completion: reversed
    assert stop_reason(bound, grows)
    assert not stop_reason(rules(**stop), grows)
    assert not stop_reason(bound, history((0.6, 0.1), (0.5, 0.1)))
    assert not stop_reason(bound, history((0.4, 0.1), (0.4, 0.1)))


def early(search: Search) -> list[dict[str, Any]]:
    return [e for e in search.journal.events if e["event"] == "stopped_exploring"]


CASES: list[dict[str, Any]] = [
    {"time": 170},
    {"cost": 60},
    {"stagnation": {"trials": 2, "tolerance": 0.1}},
]


@pytest.mark.lengthy
@pytest.mark.parametrize("stop", CASES)
def test_a_search_that_a_rule_ends_is_the_same_wherever_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: dict[str, Any]
) -> None:
    changes: dict[str, Any] = {"search__num_samples": 30, "search__sampler": "random"}
    searched = experiment(defense__epochs=3, confirm__seeds=1, search__stop=stop, **changes)
    clock = Clock(monkeypatch)
    whole = finished(tmp_path / "whole", searched, fails=FAILS)
    events = whole.journal.events
    (event,) = early(whole)
    assert event["reason"].startswith(next(iter(stop)))
    explored = whole.state.of_phase("explore")
    assert 3 <= len(explored) < 30
    after = [e["event"] for e in events[event["seq"] + 1 :]]
    assert after[0] == "recommended"
    assert whole.state.of_phase("confirm")
    assert whole.state.finished
    expected = {i: outcome(r) for i, r in whole.state.trials.items()}
    for count in range(1, len(events) + 1):
        cut(events, count, tmp_path / str(count))
        clock.now = events[count - 1]["time"]
        again = finished(tmp_path / str(count), searched, fails=FAILS)
        assert {i: outcome(r) for i, r in again.state.trials.items()} == expected, count
        assert again.journal.events == events, count


@pytest.mark.parametrize("stop", CASES)
def test_running_trials_finish_and_no_further_one_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: dict[str, Any]
) -> None:
    Clock(monkeypatch)
    searched = experiment(search__num_samples=30, search__sampler="random", search__stop=stop)
    search = finished(tmp_path, searched, max_concurrent=4)
    (event,) = early(search)
    later = [e["event"] for e in search.journal.events[event["seq"] :]]
    assert "suggested" not in later[: later.index("recommended")]
    assert "completed" in later[: later.index("recommended")]
    assert not search.state.running()


def test_a_spent_budget_is_no_early_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    free = finished(tmp_path / "free", experiment(search__num_samples=3))
    last = max(r.finished_at for r in free.state.of_phase("explore"))
    given = last - free.state.began
    searched = experiment(search__num_samples=3, search__stop={"time": given})
    search = finished(tmp_path / "held", searched)
    assert len(search.state.of_phase("explore")) == 5
    assert early(search) == []


def test_progress_status_and_the_planned_number_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = experiment(
        name="early", search__num_samples=30, search__stop={"cost": 60}, search__sampler="random"
    )
    search = finished(tmp_path / "early", searched)
    (event,) = early(search)
    (tmp_path / "early" / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    reason = event["reason"]
    assert f"exploring stopped, {reason}" in render(status_of(tmp_path / "early"))
    log = io.StringIO()
    Progress(search, Console(file=log)).handle(event)
    assert log.getvalue() == f"exploring stops, {reason}\n"
    assert sum(search.planned()) == len(search.state.trials)
