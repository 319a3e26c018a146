"""Callbacks that only look on, and streams that nobody reads: neither stops a search."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli.common import say
from harness.journal.journal import Event, Journal, logging_exceptions, read
from harness.journal.state import SearchState, TrialRecord
from harness.options import Options
from harness.session import session
from harness.session.progress import Progress
from harness.trial.interface import TrialSpec
from tests.harness.fakes import STARTED, experiment, finished, open_search
from tests.harness.tiny import tiny


def broken(*_: Any) -> None:
    raise RuntimeError("cannot show this\nat all")


def test_a_listener_that_raises_is_told_once_and_neither_event_nor_others_are_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path)
    heard: list[Event] = []
    journal.on_event(broken)
    journal.on_event(heard.append)
    journal.append("started", **STARTED)
    journal.append("finished")
    journal.close()
    assert [event["event"] for event in heard] == ["started", "finished"]
    assert read(journal.path) == heard
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    said = "broken: RuntimeError: cannot show this at all; the search goes on"
    assert record.getMessage() == said


def test_the_state_is_folded_before_anybody_looks_and_its_errors_do_stop_the_search(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path)
    order: list[str] = []
    journal.on_event(lambda _: order.append("listener"))
    journal.on_event_first(lambda _: order.append("state"))
    journal.append("started")
    assert order == ["state", "listener"]
    journal.on_event_first(broken)
    with pytest.raises(RuntimeError, match="cannot show"):
        journal.append("finished")
    journal.close()


def test_interruptions_are_no_exceptions_of_an_onlooker() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        logging_exceptions(interrupted)()


def test_a_search_whose_progress_is_broken_ends_like_any_other(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Progress, "handle", broken)
    monkeypatch.setattr(Progress, "status", broken)
    monkeypatch.setattr("reports.html.write_report", lambda searches, folder, *_: folder)
    short = tiny({"pretrain.epochs": 1, "defense.epochs": 1})
    options = Options(runs_dir, executor="inline", cache_dir=os.environ["SAAT_CACHE"])
    run_dir = session.start(short, options, "train", lambda _: None)
    state = SearchState(read(run_dir / "events.jsonl"))
    assert [record.status for record in state.trials.values()] == ["completed"]
    assert state.finished


def test_a_live_view_reads_while_trials_are_added(tmp_path: Path) -> None:
    """Its thread may be interrupted within a list of trials, and another one begin meanwhile."""
    state = finished(tmp_path, experiment()).state
    count = len(state.trials)

    class Slow(TrialRecord):
        @property
        def spec(self) -> TrialSpec:  # type: ignore[override]
            state.trials[f"added {len(state.trials)}"] = last
            return last.spec

        @property
        def status(self) -> str:  # type: ignore[override]
            state.trials[f"added {len(state.trials)}"] = last
            return "running"

    first, *_, last = state.trials.values()
    state.trials[first.spec.trial_id] = Slow.__new__(Slow)
    assert len(state.running()) == 1
    assert len(state.ended()) == count
    assert len(state.of_phase("explore", "confirm")) == count + 2
    assert len(state.trials) == count + 3


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard error is a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is left is flushed on closing


def test_nobody_reads_what_a_search_says_and_it_goes_on(
    unread: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    searched = experiment()
    finished(tmp_path, searched)
    search = open_search(tmp_path, searched)
    with Progress(search) as progress:
        for event in search.journal.events:
            progress.handle(event)
    say("writing the report")
    search.journal.close()
    print("the summary")
    assert capfd.readouterr().out == "the summary\n", "standard output is not given up with it"
