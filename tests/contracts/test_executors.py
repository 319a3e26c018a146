"""What every executor must do, on one machine; the search decides, executors carry out."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.executors import Executor, SearchStopped
from harness.executors.inline import InlineExecutor
from harness.experiment.config import Experiment
from harness.experiment.file import paper_defaults, setting_at
from harness.journal.journal import Journal
from harness.journal.state import TrialRecord, config_hash
from harness.search.search import Search
from harness.trial.trial import EpochReport
from saat.data import load
from tests.harness.fakes import FINGERPRINT, STARTED
from tests.harness.tiny import context_of, shared_cache, tiny

# λ, and a learning rate at which the loss is no number: 2 × 2 settings beside the default.
EXPERIMENT = tiny(
    {
        "name": "contract",
        "pretrain.epochs": 1,
        "defense.epochs": 3,
        "defense.lr": 0.05,
        "space": {
            "defense.lr": {"choice": [0.05, 1e30]},
            "defense.lambda": {"choice": [0.1, 30.0]},
        },
        "search.num_samples": 4,
        "search.sampler": "random",
        "confirm.max_configs": 0,
    }
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("SAAT_CACHE")
    shared_cache(tmp_path_factory)
    load(name="digits", image_size=16, val_queries=40)
    yield
    os.environ.pop("SAAT_CACHE")
    if before is not None:
        os.environ["SAAT_CACHE"] = before


@pytest.fixture(scope="module")
def ray_executor() -> Iterator[Executor]:
    """One Ray for the module; it ends with it."""
    import ray

    from harness.executors.ray_cluster import connect
    from harness.executors.ray_tune import RayTuneExecutor

    connect(None, cpus=2)
    yield RayTuneExecutor(1, 0.0)
    ray.shutdown()


@pytest.fixture(scope="module", params=["inline", pytest.param("ray", marks=pytest.mark.ray)])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "inline":
        return InlineExecutor()
    found: Executor = request.getfixturevalue("ray_executor")
    return found


def search_in(runs_dir: Path, experiment: Any = EXPERIMENT, max_concurrent: int = 1) -> Search:
    run_dir = Path(context_of(experiment, runs_dir).run_dir)
    journal = Journal(run_dir)
    if not journal.events:
        journal.append("started", plan="search", **STARTED)
    return Search(experiment, journal, FINGERPRINT, max_concurrent)


def run(executor: Executor, runs_dir: Path, search: Search) -> Search:
    try:
        executor.run(search, context_of(search.experiment, runs_dir), lambda *_: None)
    finally:
        search.journal.close()
    return search


def outcome(record: TrialRecord) -> dict[str, Any]:
    """A trial without its clocks."""
    return {
        "spec": record.spec,
        "status": record.status,
        "reason": record.stop_reason.partition(" (see ")[0],
        "metrics": record.metrics,
        "epochs": [(event["epoch"], event["metrics"]) for event in record.epochs],
    }


@pytest.fixture(scope="module")
def ran(executor: Executor, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Search]:
    runs_dir = tmp_path_factory.mktemp("runs")
    return runs_dir, run(executor, runs_dir, search_in(runs_dir))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The same search, one trial after the other in this process."""
    runs_dir = tmp_path_factory.mktemp("reference")
    search = run(InlineExecutor(), runs_dir, search_in(runs_dir))
    return {trial_id: outcome(record) for trial_id, record in search.state.trials.items()}


def test_all_trials_end_and_the_search_with_them(ran: tuple[Path, Search]) -> None:
    _, search = ran
    records = search.state.trials.values()
    assert len(records) == 5
    assert search.state.running() == []
    assert search.state.finished
    assert {r.status for r in records} == {"completed", "stopped", "failed"}


def test_every_executor_finds_the_same(ran: tuple[Path, Search], reference: Any) -> None:
    _, search = ran
    assert {i: outcome(r) for i, r in search.state.trials.items()} == reference


def test_a_loss_that_is_no_number_fails_its_trial_alone(ran: tuple[Path, Search]) -> None:
    _, search = ran
    for record in search.state.trials.values():
        broken = record.spec.setting["defense"]["lr"] == 1e30
        assert (record.status == "failed") == broken
        if broken:
            assert record.stop_reason == "saat loss is nan in epoch 1; lower lr"
            assert record.epochs == []


def test_a_stopped_trial_does_no_further_epoch(ran: tuple[Path, Search]) -> None:
    runs_dir, search = ran
    stopped = [r for r in search.state.trials.values() if r.status == "stopped"]
    assert stopped
    for record in stopped:
        last = record.epochs[-1]["epoch"]
        assert last < 3
        lines = (runs_dir / "contract" / "trials" / record.spec.trial_id / "epochs.jsonl").open()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, last + 1))
        assert not list(Path(lines.name).parent.glob("checkpoint/*")), "it never goes on"


def test_costs_and_files_of_completed_trials(ran: tuple[Path, Search]) -> None:
    runs_dir, search = ran
    completed = [r for r in search.state.trials.values() if r.status == "completed"]
    for record in completed:
        folder = runs_dir / "contract" / "trials" / record.spec.trial_id
        assert record.cost_s > 0
        assert (folder / "model.safetensors").is_file()
        assert json.loads((folder / "result.json").read_text())["metrics"] == {
            k: v for k, v in record.metrics.items() if k.startswith("reattack/")
        }


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
    setting = setting_at(experiment, paper_defaults(experiment)[0])
    folder = run_dir / "trials" / f"{config_hash(setting, FINGERPRINT)[:10]}-explore-0"
    folder.mkdir(parents=True)
    (folder / name).symlink_to("/dev/full")
    return folder / name


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
    file = full_disk_for(experiment, tmp_path / "full", "epochs.jsonl")
    with pytest.raises(SearchStopped, match=r"no space left on the disk of .*full"):
        run(executor, tmp_path, search)
    assert [r.status for r in search.state.trials.values()] == ["running"]
    file.unlink()
    again = run(executor, tmp_path, search_in(tmp_path, experiment))
    (record,) = again.state.trials.values()
    assert record.status == "completed"
    assert [event["epoch"] for event in record.epochs] == [1, 2]


@pytest.mark.ray
def test_two_at_once_end_as_well(ray_executor: Executor, tmp_path: Path) -> None:
    search = run(ray_executor, tmp_path, search_in(tmp_path, max_concurrent=2))
    records = search.state.trials.values()
    assert len(records) == 5
    assert all(r.status in ("completed", "stopped", "failed") for r in records)


def own_workers() -> list[int]:
    """Ray workers that run a trial, among the descendants of this process (Linux)."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
        except (OSError, ValueError):
            continue  # it has ended
    found = []
    for process, title in titles.items():
        ancestor = process
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        if ancestor == os.getpid() and "ImplicitFunc" in title:
            found.append(process)
    return found


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
def test_a_killed_worker_costs_no_finished_epoch(ray_executor: Executor, tmp_path: Path) -> None:
    experiment = tiny(
        {
            "name": "killed",
            "defense.epochs": 3,
            "search.num_samples": 1,
            "search.scheduler": "none",
            "confirm.max_configs": 0,
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
