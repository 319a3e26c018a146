"""Ends of trials that Ray Tune reports late, twice or never, on a stand-in for it."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune
from ray.exceptions import ActorUnavailableError
from ray.tune.experiment import Trial

from harness.executors.ray_tune import RayTuneExecutor
from harness.search.stopping import MAX_DEATHS
from tests.harness.fake_tune import FakeTune
from tests.harness.fakes import experiment, open_search
from tests.harness.tiny import context_of

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 8.0}}])


def test_a_trial_that_tune_drops_is_not_waited_for(tmp_path: Path) -> None:
    tune = FakeTune(open_search(tmp_path, experiment()), tmp_path)
    first = tune.ask()
    for status in (Trial.PENDING, Trial.RUNNING, Trial.PAUSED):
        tune.trials[0].status = status
        assert tune.ask() == ""
    tune.trials[0].status = Trial.ERROR  # its worker was not free: nobody is told
    assert tune.ask() == first
    assert tune.lost() == [(first, False)]
    assert tune.ask() == "", "the new one lives"


def test_a_trial_that_is_always_dropped_fails_and_the_next_one_begins(tmp_path: Path) -> None:
    tune = FakeTune(open_search(tmp_path, experiment()), tmp_path)
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
    tune = FakeTune(open_search(tmp_path, experiment(), 2), tmp_path)
    first, second = tune.ask(), tune.ask()
    tune.search.on_failure(first, "broken")
    tune.scheduler.on_trial_complete(None, tune.trials[0], {})
    tune.scheduler.on_trial_error(None, tune.trials[1])
    for trial in tune.trials:
        trial.status = Trial.TERMINATED
    assert tune.ask() == second
    tune.scheduler.on_trial_error(None, tune.trials[1])
    assert tune.lost() == [(second, False)]


def test_the_journal_says_why_a_worker_was_lost(tmp_path: Path) -> None:
    tune = FakeTune(open_search(tmp_path / "run", experiment()), tmp_path)

    text, pickled = tmp_path / "error.txt", tmp_path / "error.pkl"
    text.write_text("\tip: 10.0.0.2\nThe actor died because its node has died.")

    def reason(content: bytes | None) -> str:
        tune.ask()
        tune.trials[-1].error_file = str(text)
        if content is not None:
            pickled.write_bytes(content)
            tune.trials[-1].pickled_error_file = str(pickled)
        tune.scheduler.on_trial_error(None, tune.trials[-1])
        return str(tune.search.journal.events[-1]["reason"])

    error = ActorUnavailableError("closed", None)
    assert reason(cloudpickle.dumps(error)) == "node does not answer"
    assert reason(None) == "node 10.0.0.2 was lost"
    assert reason(b"cno_such_module\nError\n.") == "node 10.0.0.2 was lost"
