"""Workers that die under Ray Tune, on one machine; tests/cluster has the nodes."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.executors import Executor
from harness.journal.journal import Journal
from harness.search.search import Pause, Search
from harness.search.stopping import MAX_DEATHS
from harness.trial.interface import EpochReport, TrialSpec
from tests.contracts.executor_runs import own_workers, run, search_in
from tests.harness.fakes import FINGERPRINT
from tests.harness.tiny import tiny

pytestmark = [
    pytest.mark.usefixtures("cache"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc"),
]


class Watched(Search):
    """Calls back at every report and at every question for a trial."""

    at_epoch: Callable[[str, EpochReport], None]
    at_question: Callable[[TrialSpec | Pause], None]

    def on_epoch(self, trial_id: str, report: EpochReport) -> bool:
        self.at_epoch(trial_id, report)
        return super().on_epoch(trial_id, report)

    def next_trial(self) -> TrialSpec | Pause:
        found = super().next_trial()
        self.at_question(found)
        return found


def watched(runs_dir: Path, changes: dict[str, Any], max_concurrent: int) -> Watched:
    searched = tiny({"name": "watched", "search.scheduler": "none", **changes})
    plain = search_in(runs_dir, searched)
    plain.journal.close()
    search = Watched(searched, Journal(plain.journal.path.parent), FINGERPRINT, max_concurrent)
    search.at_epoch = lambda *_: None
    search.at_question = lambda *_: None
    return search


def losses(search: Search) -> list[tuple[str, bool]]:
    events = [event for event in search.journal.events if event["event"] == "lost"]
    return [(event["trial_id"], event["node"]) for event in events]


def test_a_trial_that_kills_every_worker_fails_alone(
    ray_executor: Executor,
    tmp_path: Path,
) -> None:
    changes = {"search.num_samples": 2, "confirm.max_configs": 0}
    search = watched(tmp_path, changes, 1)

    def kill(trial_id: str, report: EpochReport) -> None:
        if search.state.trials[trial_id].spec.number == 1 and report.epoch == 1:
            for process in own_workers():
                os.kill(process, signal.SIGKILL)

    search.at_epoch = kill
    run(ray_executor, tmp_path, search)
    first, deadly, last = search.state.trials.values()
    assert deadly.status == "failed"
    assert deadly.stop_reason.startswith("its worker process died 5 times, the last time so: W")
    assert (first.status, last.status) == ("completed", "completed")
    assert losses(search) == [(deadly.spec.trial_id, False)] * (MAX_DEATHS + 1)
    assert [event["epoch"] for event in deadly.epochs] == [1]


def test_a_worker_that_dies_idle_fails_no_trial(
    ray_executor: Executor,
    tmp_path: Path,
) -> None:
    # Two trials at once, one of them long: the other's worker waits for the confirmation.
    changes = {"search.num_samples": 1, "space": {"defense.steps": {"choice": [120]}}}
    search = watched(tmp_path, changes, 2)
    killed: list[int] = []

    def kill(found: TrialSpec | Pause) -> None:
        ended = [r for r in search.state.trials.values() if r.status == "completed"]
        if found is Pause.WAIT and len(ended) == 1 and not killed:
            titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in own_workers()}
            idle = [pid for pid, title in titles.items() if b".train" not in title]
            for pid in idle[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    search.at_question = kill
    run(ray_executor, tmp_path, search)
    assert killed, "no worker was idle"
    records = list(search.state.trials.values())
    assert {record.spec.phase for record in records} == {"explore", "confirm"}
    assert [record.status for record in records] == ["completed"] * len(records)
    assert len(losses(search)) == 1
