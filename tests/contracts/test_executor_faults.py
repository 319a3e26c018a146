"""What every executor must do when something goes wrong: errors, full disks, killed workers."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.experiment.published import paper_defaults
from harness.journal.journal import Journal
from harness.journal.state import config_hash
from harness.search.search import Search
from harness.search_stopped import SearchStopped
from harness.trial.interface import EpochReport
from tests.contracts.executor_runs import outcome, own_workers, run, search_in
from tests.harness.fakes import FINGERPRINT
from tests.harness.tiny import context_of, tiny

# Ray gives its workers the lowest priority; beside other work they take their time.
pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.timeout(900)]


def test_an_unexpected_error_fails_the_trial_and_leaves_its_traceback(
    executor: Executor, tmp_path: Path
) -> None:
    experiment = tiny({"name": "broken", "search.num_samples": 1, "confirm.max_configs": 0})
    search = search_in(tmp_path, experiment)
    (tmp_path / "file").write_text("")
    context = replace(context_of(experiment, tmp_path), pretrained_dir=str(tmp_path / "file"))
    executor.run(search, context, lambda *_: None)
    search.journal.close()
    records = list(search.state.trials.values())
    assert [r.status for r in records] == ["failed", "failed"]
    for record in records:
        assert record.stop_reason.startswith("NotADirectoryError")
        assert f"(see {record.spec.trial_id}/error.log)" in record.stop_reason
        log = tmp_path / "broken" / "trials" / record.spec.trial_id / "error.log"
        assert "Traceback" in log.read_text()


def full_disk_for(experiment: Experiment, run_dir: Path, name: str) -> Path:
    """A file of the default's trial on a disk that is full."""
    config = config_at(experiment, paper_defaults(experiment)[0])
    folder = run_dir / "trials" / f"{config_hash(config, FINGERPRINT)[:10]}-explore-0"
    file = folder / name
    file.parent.mkdir(parents=True)
    file.symlink_to("/dev/full")
    return file


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_when_an_error_is_logged_stops_the_search_as_well(
    executor: Executor, tmp_path: Path
) -> None:
    experiment = tiny({"name": "broken", "search.num_samples": 0, "confirm.max_configs": 0})
    search = search_in(tmp_path, experiment)
    full_disk_for(experiment, tmp_path / "broken", "error.log")
    (tmp_path / "file").write_text("")
    context = replace(context_of(experiment, tmp_path), pretrained_dir=str(tmp_path / "file"))
    try:
        with pytest.raises(SearchStopped, match="no space left on the disk of "):
            executor.run(search, context, lambda *_: None)
    finally:
        search.journal.close()
    assert [r.status for r in search.state.trials.values()] == ["running"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_stops_the_search_which_goes_on_later(
    executor: Executor, tmp_path: Path
) -> None:
    experiment = tiny({"name": "full", "search.num_samples": 0, "confirm.max_configs": 0})
    search = search_in(tmp_path, experiment)
    file = full_disk_for(experiment, tmp_path / "full", ".lease/1.beat")
    with pytest.raises(SearchStopped, match=r"no space left on the disk of .*full"):
        run(executor, tmp_path, search)
    assert [r.status for r in search.state.trials.values()] == ["running"]
    file.unlink()
    again = run(executor, tmp_path, search_in(tmp_path, experiment))
    (record,) = again.state.trials.values()
    assert record.status == "completed"
    assert [event["epoch"] for event in record.epochs] == [1, 2]


class KillsWorkers(Search):
    """Kills the worker that has just reported the first epoch of the second trial."""

    killed: list[int]

    def on_epoch(self, trial_id: str, report: EpochReport) -> bool:
        number = self.state.trials[trial_id].spec.number
        if not self.killed and number == 1 and report.epoch == 1:
            for process in own_workers():
                os.kill(process, signal.SIGKILL)
                self.killed.append(process)
        return super().on_epoch(trial_id, report)


@pytest.mark.ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("seconds", [0, 3600], ids=["every_epoch", "journal_ahead"])
def test_a_killed_worker_costs_no_reported_epoch(
    ray_executor: Executor, tmp_path: Path, seconds: int
) -> None:
    experiment = tiny(
        {
            "name": "killed",
            "defense.epochs": 3,
            "search.num_samples": 1,
            "search.scheduler": "none",
            "confirm.max_configs": 0,
            "resources.checkpoint_seconds": seconds,
        }
    )
    expected = run(InlineExecutor(), tmp_path / "a", search_in(tmp_path / "a", experiment))
    plain = search_in(tmp_path / "b", experiment)
    plain.journal.close()
    search = KillsWorkers(experiment, Journal(plain.journal.path.parent), FINGERPRINT, 1)
    search.killed = []
    run(ray_executor, tmp_path / "b", search)
    assert search.killed
    assert {i: outcome(r) for i, r in search.state.trials.items()} == {
        i: outcome(r) for i, r in expected.state.trials.items()
    }
