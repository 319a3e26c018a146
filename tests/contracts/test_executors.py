"""What every executor must do, on one machine; the search decides, executors carry out."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from harness.search.search import Search
from tests.contracts.executor_runs import outcome, run, search_in

# Ray gives its workers the lowest priority; beside other work they take their time.
pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.timeout(900)]


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
        broken = record.spec.config.dump()["defense"]["lr"] == 100.0
        assert (record.status == "failed") == broken
        if broken:
            assert record.stop_reason == "saat loss is nan in epoch 1; lower lr"
            assert record.epochs == []


def test_a_stopped_trial_does_no_further_epoch(ran: tuple[Path, Search]) -> None:
    runs_dir, search = ran
    stopped = [r for r in search.state.trials.values() if r.status == "stopped"]
    assert stopped
    for record in stopped:
        assert record.epochs[-1]["epoch"] < 3
        folder = runs_dir / "contract" / "trials" / record.spec.trial_id
        # Its checkpoints were deleted when it was stopped; a further epoch would leave one.
        assert not list(folder.glob("checkpoint/*"))


def test_costs_and_files_of_completed_trials(ran: tuple[Path, Search]) -> None:
    runs_dir, search = ran
    completed = [r for r in search.state.trials.values() if r.status == "completed"]
    for record in completed:
        folder = runs_dir / "contract" / "trials" / record.spec.trial_id
        assert record.cost_s > 0
        assert (folder / "model.safetensors").is_file()
        assert json.loads((folder / "result.json").read_text())["metrics"] == {
            key: value
            for key, value in record.metrics.items()
            if key.startswith("reattack/") and key != "reattack/device_seconds"
        }


@pytest.mark.ray
def test_two_at_once_end_as_well(ray_executor: Executor, tmp_path: Path) -> None:
    search = run(ray_executor, tmp_path, search_in(tmp_path, max_concurrent=2))
    records = search.state.trials.values()
    assert len(records) == 5
    assert all(r.status in ("completed", "stopped", "failed") for r in records)
