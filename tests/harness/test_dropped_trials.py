"""What Ray Tune does without telling anybody, on a stand-in for it."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Trial

from harness.executors.ray_tune import RayTuneExecutor, _Places, _Scheduler, _Searcher
from harness.search.search import Search
from harness.search.worker_failures import MAX_DEATHS
from tests.harness.fakes import experiment, open_search
from tests.harness.tiny import context_of

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0}}])


class Tune:
    """Ray Tune as far as it asks for trials, one at a time, and keeps their statuses."""

    def __init__(self, run_dir: Path, max_concurrent: int = 1) -> None:
        searched = experiment()
        self.search: Search = open_search(run_dir, searched, max_concurrent)
        self.scheduler = _Scheduler(self.search, context_of(searched, run_dir))
        self.searcher = _Searcher(self.search, self.scheduler, _Places(1, 0, follow=False))
        self.trials: list[Any] = []

    def ask(self) -> str:
        """Our id of the trial that is begun; empty where there is none to begin."""
        name = f"tune{len(self.trials)}"
        trial: Any = SimpleNamespace(trial_id=name, status=Trial.PENDING)
        config = self.searcher.suggest(trial.trial_id)
        if config is None:
            return ""
        self.trials.append(trial)
        self.scheduler.on_trial_add(None, trial)
        return str(config["trial"]["trial_id"])

    def lost(self) -> list[tuple[str, bool]]:
        events = [event for event in self.search.journal.events if event["event"] == "lost"]
        return [(event["trial_id"], event["node"]) for event in events]


def test_a_trial_that_tune_drops_is_not_waited_for(tmp_path: Path) -> None:
    tune = Tune(tmp_path)
    first = tune.ask()
    for status in (Trial.PENDING, Trial.RUNNING, Trial.PAUSED):
        tune.trials[0].status = status
        assert tune.ask() == ""
    tune.trials[0].status = Trial.ERROR  # its worker was not free: nobody is told
    assert tune.ask() == first
    assert tune.lost() == [(first, False)]
    assert tune.ask() == "", "the new one lives"


def test_a_trial_that_is_always_dropped_fails_and_the_next_one_begins(tmp_path: Path) -> None:
    tune = Tune(tmp_path)
    first = tune.ask()
    for _ in range(MAX_DEATHS):
        tune.trials[-1].status = Trial.ERROR
        assert tune.ask() == first
    tune.trials[-1].status = Trial.ERROR
    assert tune.ask() not in ("", first)
    assert tune.search.state.trials[first].status == "failed"


def test_a_folder_that_tune_still_writes_into_hides_no_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def fit(self) -> None:
            raise KeyboardInterrupt

    remove = os.rmdir

    def busy(path: Any, *rest: Any, **more: Any) -> None:
        if "saat-tune-" in str(path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        remove(path, *rest, **more)

    searched = experiment()
    search = open_search(tmp_path, searched)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(tune, "Tuner", Interrupted)
    monkeypatch.setattr(os, "rmdir", busy)
    with pytest.raises(KeyboardInterrupt):
        RayTuneExecutor(1, 0.0).run(search, context_of(searched, tmp_path), lambda *_: None)


def test_ends_that_tune_tells_are_taken_once(tmp_path: Path) -> None:
    tune = Tune(tmp_path, max_concurrent=2)
    first, second = tune.ask(), tune.ask()
    tune.search.on_failure(first, "broken")
    tune.searcher.on_trial_complete("tune0")
    tune.searcher.on_trial_complete("tune1", error=True)
    for trial in tune.trials:
        trial.status = Trial.TERMINATED
    assert tune.ask() == second
    tune.searcher.on_trial_complete("tune1", error=True)
    assert tune.lost() == [(second, False)]
