"""A search over several hosts that come and go, against what its journal must say afterwards.

The hosts are network namespaces (:mod:`tests.cluster.hosts`): own addresses, processes, names and
temporary folders; shared storage is all that they share. Authentication is on.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from harness.journal.journal import Event, read
from harness.journal.state import SearchState, TrialRecord
from harness.session.status import status_of
from harness.tracking.store import default_uri
from tests.cluster.hosts import Hosts, unavailable
from tests.harness.tiny import tiny_raw

pytestmark = [pytest.mark.timeout(1800), pytest.mark.lengthy]  # six minutes, mostly of waiting

EPOCHS = 6
EXPERIMENT = tiny_raw(
    {
        "name": "hosts",
        # Above chance, so that there is a setting to recommend and confirm.
        "data.val_queries": 100,
        "pretrain.epochs": 8,
        "evaluation": {"top_k": 100, "steps": 2, "attacks": ["mainstay"], "eps": 0.001},
        # Epochs of seconds: a host is to be lost in the middle of a trial.
        "defense": {"epochs": EPOCHS, "steps": 20, "batch_size": 40},
        # So many that a host which was killed has work when it comes back, half a minute later.
        "search": {"num_samples": 11, "scheduler": "none"},
        "confirm": {"max_configs": 1, "seeds": 2, "battery": "none"},
    }
)
SLOWEST_S = float(os.environ.get("SAAT_CLUSTER_TEST_S", "600"))  # of one thing that is waited for


@dataclass(frozen=True)
class Outcome:
    """A search that has ended, and what happened on the way."""

    runs_dir: Path
    status: int
    output: str
    events: list[Event]
    cut_off: str  # the trial that a host worked on when it was cut off
    killed: str  # the one on the host that was killed
    left: list[str]  # what of the trials' processes still ran on the host that was cut off

    @property
    def run_dir(self) -> Path:
        return self.runs_dir / "hosts"

    @property
    def state(self) -> SearchState:
        return SearchState(self.events)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["event"] == kind]


class Driver:
    """``saat search`` inside the head's namespaces."""

    def __init__(self, hosts: Hosts, address: str, folder: Path) -> None:
        (folder / "hosts.yaml").write_text(yaml.safe_dump(EXPERIMENT))
        self.journal = folder / "runs" / "hosts" / "events.jsonl"
        self.log = folder / "output"
        command = [sys.executable, "-m", "harness", "search", str(folder / "hosts.yaml")]
        command += ["--address", address, "--runs-dir", str(folder / "runs")]
        with self.log.open("w") as output:
            self.process = hosts.run(0, command, stdout=output, stderr=output)

    def until(self, found: Callable[[list[Event]], Any], what: str) -> Any:
        """Wait until the journal has something; what was found."""
        until = time.monotonic() + SLOWEST_S
        while not (value := found(read(self.journal))):
            assert self.process.poll() is None, f"ended before {what}: {self.log.read_text()}"
            assert time.monotonic() < until, f"no {what}: {self.log.read_text()}"
            time.sleep(0.1)
        return value


def midway_on(host: str) -> Callable[[list[Event]], str]:
    """Finds a trial that has just done its first epoch, on a host."""

    def find(events: list[Event]) -> str:
        epochs = [event for event in events if event["event"] == "epoch"]
        latest = {event["trial_id"]: event for event in epochs}
        ended = {e["trial_id"] for e in events if e["event"] == "completed"}
        on_host = [
            trial_id
            for trial_id, event in latest.items()
            if event["host"] == host and event["epoch"] == 1 and trial_id not in ended
        ]
        return on_host[-1] if on_host else ""

    return find


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Two workers; one is cut off, a larger one joins late, one is killed and comes back."""
    if reason := unavailable():
        pytest.skip(f"no hosts here: {reason}")
    folder = tmp_path_factory.mktemp("shared")
    with Hosts(4, folder) as hosts:
        address = hosts.start_head()
        hosts.start_worker(1)
        hosts.start_worker(2)
        stranger = hosts.run(
            0,
            [str(Path(sys.executable).with_name("ray")), "status", f"--address={address}"],
            env={"RAY_AUTH_TOKEN": "0" * 64},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        driver = Driver(hosts, address, folder)
        cut_off = driver.until(midway_on("host-1"), "epoch on host 1")
        hosts.cut(1)
        hosts.start_worker(3, cpus=2)
        driver.until(midway_on("host-3"), "epoch on host 3, which joined late")
        killed = driver.until(midway_on("host-2"), "epoch on host 2")
        hosts.kill(2)
        hosts.start_worker(2)
        assert stranger.wait(SLOWEST_S) != 0, "the cluster is open to whoever comes"
        status = driver.process.wait(SLOWEST_S)
        left = [title for title in hosts.processes(1).values() if "ImplicitFunc" in title]
        events = read(driver.journal)
        text = driver.log.read_text()
        yield Outcome(folder / "runs", status, text, events, cut_off, killed, left)


def test_the_search_ends_as_if_nothing_had_happened(outcome: Outcome) -> None:
    assert outcome.status == 0, outcome.output
    assert outcome.state.finished
    assert "Traceback" not in outcome.output
    records = outcome.state.trials.values()
    assert [r.status for r in records] == ["completed"] * len(records), outcome.output
    assert len(outcome.state.of_phase("explore")) == 12, "the default and eleven samples"
    assert len(outcome.state.of_phase("confirm")) == 6, "three settings under two seeds"
    assert (outcome.run_dir / "report" / "report.html").exists()


def test_every_trial_and_every_epoch_is_there_once(outcome: Outcome) -> None:
    suggested = [event["trial"]["trial_id"] for event in outcome.of("suggested")]
    assert len(set(suggested)) == len(suggested) == 18
    ends = [event["trial_id"] for event in outcome.of("completed")]
    assert sorted(ends) == sorted(suggested)
    for record in outcome.state.trials.values():
        assert [event["epoch"] for event in record.epochs] == list(range(1, _epochs(record) + 1))


def _epochs(record: TrialRecord) -> int:
    return record.config.epochs  # the undefended model has none


def test_what_was_finished_before_a_loss_was_not_done_again(outcome: Outcome) -> None:
    """An epoch that the journal had when its host went is the one that is in the result."""
    for record in outcome.state.trials.values():
        folder = outcome.run_dir / "trials" / record.spec.trial_id
        result = json.loads((folder / "result.json").read_text())
        told = [
            {key: event[key] for key in ("epoch", "metrics", "seconds", "host")}
            for event in record.epochs
        ]
        kept = [{key: epoch[key] for key in told[0]} for epoch in result["history"]] if told else []
        assert kept == told
        assert result["metrics"].items() <= record.metrics.items()


def test_lost_nodes_were_noticed_and_fail_no_trial(outcome: Outcome) -> None:
    lost = {event["trial_id"]: event for event in outcome.of("lost")}
    assert {outcome.cut_off, outcome.killed} <= set(lost)
    assert all(event["node"] for event in lost.values()), lost
    assert outcome.of("failed") == []
    for trial_id in (outcome.cut_off, outcome.killed):
        record = outcome.state.trials[trial_id]
        before = [event for event in record.epochs if event["time"] <= lost[trial_id]["time"]]
        assert 0 < len(before) < EPOCHS, f"{trial_id} was not lost midway: {record.epochs}"
    # Host 2 came back and may have gone on with its own; host 1 did not.
    hosts = [event["host"] for event in outcome.state.trials[outcome.cut_off].epochs]
    assert len(set(hosts)) > 1, f"{outcome.cut_off} went on where it was: {hosts}"


def test_a_host_that_joined_late_and_one_that_came_back_did_work(outcome: Outcome) -> None:
    epochs = outcome.of("epoch")
    assert {event["host"] for event in epochs} == {"host-1", "host-2", "host-3"}
    killed_at = next(e["time"] for e in outcome.of("lost") if e["trial_id"] == outcome.killed)
    assert any(e["host"] == "host-2" and e["time"] > killed_at + 5 for e in epochs)
    assert most_at_once(outcome.events) > 2, "the search has more places than at its start"
    found = status_of(outcome.run_dir)
    assert found["hosts"].keys() >= {"host-2", "host-3"}
    assert found["nodes_lost"] >= 2
    assert found["workers_died"] == 0


def most_at_once(events: list[Event]) -> int:
    """Most trials that had begun and not ended."""
    live = most = 0
    for event in events:
        live += (event["event"] == "suggested") - (event["event"] == "completed")
        most = max(most, live)
    return most


def test_the_worker_that_was_cut_off_has_given_way(outcome: Outcome) -> None:
    assert outcome.left == []


def test_journal_tables_and_tracker_agree(outcome: Outcome) -> None:
    records = outcome.state.trials
    trials = pd.read_parquet(outcome.run_dir / "trials.parquet").set_index("trial_id")
    assert set(trials.index) == set(records)
    assert len(trials) == len(records)
    epochs = pd.read_parquet(outcome.run_dir / "epochs.parquet")
    for trial_id, record in records.items():
        assert trials.loc[trial_id, "status"] == record.status
        assert trials.loc[trial_id, "host"] == record.host
        rows = epochs[epochs.trial_id == trial_id].sort_values("epoch")
        assert list(rows.epoch) == [event["epoch"] for event in record.epochs]
        assert list(rows.host) == [event["host"] for event in record.epochs]
    client = MlflowClient(default_uri(outcome.runs_dir))
    experiment = client.get_experiment_by_name("hosts")
    assert experiment is not None
    runs = {r.data.tags["saat.trial_id"]: r for r in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {*records, "search"}
    for trial_id, record in records.items():
        run = runs[trial_id]
        assert run.info.status == "FINISHED"
        logged = client.get_metric_history(run.info.run_id, "val/clean_map")
        assert [metric.step for metric in logged] == [event["epoch"] for event in record.epochs]
        for name, value in record.metrics.items():
            # The seconds of a trial are delivered where they are an objective.
            if name.endswith("/device_seconds"):
                continue
            assert run.data.metrics[name] == pytest.approx(value, nan_ok=True)
