"""Searches that know what earlier ones found; through the session, with trials that are fakes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest

from harness.experiment.config import Experiment
from harness.journal.journal import Event, read
from harness.journal.state import SearchState
from harness.options import Options
from harness.search.search import Pause, Search
from harness.session import session
from harness.session.status import render, status_of
from harness.trial.interface import FinalReport, TrialContext
from saat.errors import InputError
from tests.harness.fakes import SPACE, Broken, cut, experiment, fake_trial, outcome

pytestmark = pytest.mark.usefixtures("no_fsync")
FAILS = (3.0, 5.0)
DISCRETE = {"defense.lambda": {"choice": [0.5, 1.0, 2.0, 4.0]}, "defense.steps": {"int": [6, 8]}}
PLAIN: dict[str, Any] = {"search__sampler": "random", "defense__epochs": 3, "confirm__seeds": 1}
EVERY: dict[str, Any] = {"search__num_samples": 50, "search__scheduler": "none"}


class FakeData:
    fingerprint = "data"
    label = "fake"
    validation_database = range(100)


class FakeExecutor:
    """Runs fakes one after the other."""

    searches: ClassVar[list[Search]] = []

    def run(
        self, search: Search, context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        self.searches.append(search)
        while not isinstance(spec := search.next_trial(), Pause):
            try:
                for report in fake_trial(spec, FAILS):
                    if isinstance(report, FinalReport):
                        search.on_final(spec.trial_id, report)
                    elif search.on_epoch(spec.trial_id, report):
                        break
            except Broken as error:
                search.on_failure(spec.trial_id, str(error))


class Silent:
    def __init__(self, *_: Any) -> None: ...
    def start(self, events: list[Event]) -> None: ...
    def handle(self, event: Event) -> None: ...
    def catch_up(self, timeout: float) -> None: ...
    def close(self, timeout: float) -> str:
        return ""


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Tracker", Silent)
    monkeypatch.setattr(session, "make_report", lambda *_: None)
    monkeypatch.setattr(session, "open_data", lambda *_: FakeData())
    monkeypatch.setattr(session, "provenance", lambda *_: {})
    monkeypatch.setattr(session, "executor_of_run", lambda *_: (FakeExecutor(), 1))
    monkeypatch.setattr(FakeExecutor, "searches", [])


def quiet(_: str) -> None:
    pass


def options_of(runs_dir: Path) -> Options:
    return Options(runs_dir, executor="inline")


def run(runs_dir: Path, searched: Experiment, plan: Any = "search") -> list[Event]:
    return read(session.start(searched, options_of(runs_dir), plan, quiet) / "events.jsonl")


def named(name: str, *warm: str, **changes: Any) -> Experiment:
    return experiment(**PLAIN | {"name": name, "search__warm_start": list(warm)} | changes)


def warm_trials(events: list[Event]) -> list[dict[str, Any]]:
    (event,) = (e for e in events if e["event"] == "warm_started")
    assert event["seq"] == 1
    return list(event["trials"])


def completed(events: list[Event]) -> dict[str, tuple[float, float]]:
    done = [r for r in SearchState(events).of_phase("explore") if r.status == "completed"]
    return {
        r.config_hash: (r.metrics["reattack/clean_map"], r.metrics["reattack/robust_map"])
        for r in done
    }


def test_completed_trials_are_known_and_never_run_again(runs_dir: Path) -> None:
    old = run(runs_dir, named("old", space=DISCRETE, search__num_samples=7))
    new = run(runs_dir, named("new", "old", space=DISCRETE, search__num_samples=50))
    statuses = {r.status for r in SearchState(old).of_phase("explore")}
    assert statuses == {"completed", "stopped", "failed"}
    taken = {t["config_hash"]: tuple(t["metrics"].values()) for t in warm_trials(new)}
    assert taken == completed(old)
    own = {r.config_hash for r in SearchState(new).of_phase("explore")}
    assert not own & set(taken)
    assert len(own | set(taken)) == 12, "the 4 × 3 points, the paper's default among them"


def test_they_are_finished_trials_of_the_study_before_the_first_suggestion(runs_dir: Path) -> None:
    run(runs_dir, named("old"))
    changes = {"seed": 9, "search__sampler": "tpe"}
    new = run(runs_dir, named("new", "old", **changes))
    cold = run(runs_dir, named("cold", **changes))
    trials = warm_trials(new)
    study = FakeExecutor.searches[1].parts[0].searcher.study.trials[: len(trials)]
    assert {t.state for t in study} == {optuna.trial.TrialState.COMPLETE}
    inside = [t for t in trials if set(t["point"]) == set(SPACE)]
    assert inside
    for told, trial in zip(study, trials, strict=True):
        assert tuple(told.values) == tuple(trial["metrics"].values())
    first = [
        next(e for e in events if e["event"] == "suggested" and e["trial"]["role"] == "sampled")
        for events in (new, cold)
    ]
    assert first[0]["point"] != first[1]["point"], "what is known changes what is suggested"


def test_points_outside_the_space_and_other_settings_are_left_out(runs_dir: Path) -> None:
    old = run(runs_dir, named("old", space=DISCRETE, **EVERY))
    narrow = DISCRETE | {"defense.lambda": {"choice": [0.5, 2.0]}}
    points = [t["point"] for t in warm_trials(run(runs_dir, named("narrow", "old", space=narrow)))]
    sampled = [point for point in points if set(point) == set(narrow)]
    assert {p["defense.lambda"] for p in sampled} == {0.5, 2.0}
    assert [p for p in points if p not in sampled] == [SearchState(old).known()[0].point]
    longer = run(runs_dir, named("longer", "old", space=DISCRETE, defense__epochs=4))
    assert warm_trials(longer) == [], "the same points, but of other settings"


def test_known_settings_can_be_recommended_but_the_known_default_cannot(runs_dir: Path) -> None:
    old = SearchState(run(runs_dir, named("old", search__num_samples=9)))
    new = SearchState(run(runs_dir, named("new", "old", search__num_samples=0)))
    assert new.of_phase("explore") == [], "the paper's default is known too"
    assert new.recommended == old.recommended
    assert {(r.config_hash, r.spec.role) for r in new.of_phase("confirm")} == {
        (r.config_hash, r.spec.role) for r in old.of_phase("confirm")
    }
    assert sum(FakeExecutor.searches[1].planned()) == len(new.trials)


def test_no_setting_is_confirmed_under_the_seed_it_was_chosen_by(runs_dir: Path) -> None:
    run(runs_dir, named("old", search__num_samples=9, seed=5))
    new = SearchState(run(runs_dir, named("new", "old", search__num_samples=0, confirm__seeds=2)))
    assert {record.spec.seed for record in new.of_phase("confirm")} == {6, 7}


def test_of_equal_settings_the_first_named_counts(runs_dir: Path) -> None:
    run(runs_dir, named("a", space=DISCRETE, **EVERY))
    run(runs_dir, named("b", space=DISCRETE, **EVERY, seed=7))
    for first, second, seed in (("a", "b", 0), ("b", "a", 7)):
        new = run(runs_dir, named(f"{first}{second}", first, second, space=DISCRETE))
        trials = warm_trials(new)
        assert {t["trial"]["seed"] for t in trials} == {seed}
        assert len({t["config_hash"] for t in trials}) == len(trials)


def test_a_path_does_as_well_as_a_name(tmp_path: Path, runs_dir: Path) -> None:
    old = run(tmp_path / "elsewhere", named("old"))
    new = run(runs_dir, named("new", str(tmp_path / "elsewhere" / "old")))
    assert len(warm_trials(new)) == len(completed(old))
    status = status_of(runs_dir / "new")
    assert status["warm_started"] == len(completed(old))
    assert f"warm start: {len(completed(old))} trials" in render(status)


@pytest.mark.lengthy
@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_warm_search_is_the_same_wherever_it_was_cut_without_the_old_one(
    runs_dir: Path, sampler: str
) -> None:
    run(runs_dir, named("old"))
    searched = named("new", "old", search__sampler=sampler, search__num_samples=4)
    events = run(runs_dir, searched)
    new, whole = runs_dir / "new", SearchState(events)
    expected = {i: outcome(r) for i, r in whole.trials.items()}
    for count in range(1, len(events) + 1):
        if count == 2:
            (runs_dir / "old").rename(runs_dir / "hidden")
        text = (new / "experiment.yaml").read_text()
        shutil.rmtree(new)
        cut(events, count, new)
        (new / "experiment.yaml").write_text(text)
        session.resume("new", options_of(runs_dir), quiet)
        again = read(new / "events.jsonl")
        state = SearchState(again)
        assert {i: outcome(r) for i, r in state.trials.items()} == expected, count
        assert state.recommended == whole.recommended, count
        assert [e["event"] for e in again] == [e["event"] for e in events], count
        assert warm_trials(again) == warm_trials(events), count


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"evaluation__steps": 3}, "its protocol {old} is not this search's {new}; evaluation"),
        ({"confirm__battery": "core"}, "its protocol {old} is not this search's {new}; evaluation"),
    ],
)
def test_another_protocol_is_refused_and_nothing_starts(
    runs_dir: Path, changes: dict[str, Any], line: str
) -> None:
    old = run(runs_dir, named("old"))
    other = run(runs_dir, named("other", **changes))
    hashes = {"old": old[0]["protocol_hash"][:10], "new": other[0]["protocol_hash"][:10]}
    with pytest.raises(InputError) as refused:
        run(runs_dir, named("new", "old", **changes))
    assert f"search.warm_start: old: {line.format(**hashes)}" in str(refused.value)
    assert not (runs_dir / "new").exists()


def test_other_data_are_refused(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(runs_dir, named("old"))
    monkeypatch.setattr(FakeData, "fingerprint", "others")
    with pytest.raises(InputError, match="old: its data set data is not this search's others"):
        run(runs_dir, named("new", "old"))
    assert not (runs_dir / "new").exists()


def test_a_search_that_is_not_there_not_one_or_not_finished_is_refused(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(runs_dir, named("trained"), "train")
    events = run(runs_dir, named("old"))
    for name, problem in (("nobody", "no such search"), ("trained", "not a search")):
        with pytest.raises(InputError, match=f"search.warm_start: {name}: {problem}"):
            run(runs_dir, named("new", name))
    last = next(e["seq"] for e in events if e["event"] == "finished")
    cut(events, last, runs_dir / "begun")
    with pytest.raises(InputError, match=r"search.warm_start: begun: not finished"):
        run(runs_dir, named("new", "begun"))
    assert not (runs_dir / "new").exists()


def test_training_alone_needs_no_earlier_search(runs_dir: Path) -> None:
    events = run(runs_dir, named("alone", "nobody"), "train")
    assert [e for e in events if e["event"] == "warm_started"] == []
