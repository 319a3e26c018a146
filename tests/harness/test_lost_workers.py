"""Workers and nodes that are lost, and slots that are added: what a search makes of them."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from ray import cloudpickle
from ray.core.generated.common_pb2 import (  # type: ignore[attr-defined]
    ActorDiedErrorContext,
    NodeDeathInfo,
)
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError

from harness.__main__ import main
from harness.executors.ray_errors import why_worker_lost
from harness.executors.ray_slots import check_request
from harness.journal.journal import read
from harness.journal.state import SearchState, load_state
from harness.options import Options
from harness.search.search import Pause, Search
from harness.search.stopping import MAX_DEATHS, MAX_NODES_LOST
from harness.session.checks import executor_of_run, max_concurrent
from harness.session.result_tables import write_tables
from harness.session.status import render, status_of
from harness.trial.interface import EpochReport, FinalReport, TrialSpec
from saat.errors import InputError
from tests.harness.fake_tune import FakeTune
from tests.harness.fakes import cut, drive, experiment, fake_trial, finished, open_search, outcome
from tests.harness.tiny import tiny, tiny_raw

pytestmark = pytest.mark.usefixtures("no_fsync")


def died(said: str, reason: Any = NodeDeathInfo.UNEXPECTED_TERMINATION) -> ActorDiedError:
    """What Ray 2.60 raises on a cluster of several hosts; tests/cluster sees that it still does."""
    context = ActorDiedErrorContext(
        actor_id=bytes(16), node_ip_address="10.0.0.2", pid=90, error_message=said
    )
    context.node_death_info.reason = reason
    return ActorDiedError(cause=context)


NODE_DIED = died("The actor died because its node has died. Node Id: 220b0bf8")
PREEMPTED = died(str(NODE_DIED), NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)
WORKER_DIED = died(
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
    "Worker exit detail: Worker unexpectedly exits with a connection error code 2."
)
UNAVAILABLE = ActorUnavailableError("RpcError: RPC error: Socket closed rpc_code: 14.", bytes(16))
NO_MODULE = RayActorError(
    error_msg="""The actor died because of an error raised in its creation task, ray::ImplicitFunc
  File "/usr/lib/python3.11/importlib/__init__.py", line 126, in import_module
ModuleNotFoundError: No module named 'harness' at http://me:secret@host
""",
    actor_init_failed=True,
)


def begun(search: Search) -> list[TrialSpec]:
    """Every trial that the search wants to begin now."""
    found = []
    while not isinstance(spec := search.next_trial(), Pause):
        found.append(spec)
    return found


def lose(search: Search, spec: TrialSpec, node: bool, times: int) -> None:
    """Lose the worker of a running trial; it is given out again every time but the last."""
    for number in range(times):
        search.on_lost(spec.trial_id, f"loss {number}", node)
        if number < times - 1:
            assert search.next_trial() == spec


def test_a_lost_trial_comes_before_new_ones_and_ends_like_any_other(tmp_path: Path) -> None:
    searched = experiment()
    whole = finished(tmp_path / "whole", searched)
    search = open_search(tmp_path / "lost", searched)
    (spec,) = begun(search)
    reports = list(fake_trial(spec))
    for report in reports[:2]:
        assert isinstance(report, EpochReport)
        search.on_epoch(spec.trial_id, report)
    search.on_lost(spec.trial_id, "node 10.0.0.2 was lost", node=True)
    assert begun(search) == [spec], "the same trial, and no other beside it"
    for report in reports[:4]:  # it tells its history again
        assert isinstance(report, EpochReport)
        assert not search.on_epoch(spec.trial_id, report)
    assert isinstance(reports[4], FinalReport)
    search.on_final(spec.trial_id, reports[4])
    drive(search)
    assert {i: outcome(r) for i, r in search.state.trials.items()} == {
        i: outcome(r) for i, r in whole.state.trials.items()
    }
    assert [r.nodes_lost for r in search.state.trials.values()].count(1) == 1
    epochs = [(e["trial_id"], e["epoch"]) for e in search.journal.events if e["event"] == "epoch"]
    assert len(set(epochs)) == len(epochs)


def test_a_trial_that_kills_its_worker_again_and_again_fails(tmp_path: Path) -> None:
    search = open_search(tmp_path, experiment())
    (spec,) = begun(search)
    lose(search, spec, node=False, times=MAX_DEATHS)
    assert search.next_trial() == spec
    search.on_lost(spec.trial_id, "exit code 9", node=False)
    record = search.state.trials[spec.trial_id]
    assert record.status == "failed"
    assert record.stop_reason == "its worker process died 5 times, the last time so: exit code 9"
    following = search.next_trial()
    assert isinstance(following, TrialSpec)
    assert following.trial_id != spec.trial_id


def test_lost_nodes_do_not_count_against_a_trial_but_for_a_bound(tmp_path: Path) -> None:
    search = open_search(tmp_path, experiment())
    (spec,) = begun(search)
    lose(search, spec, node=False, times=MAX_DEATHS)
    assert search.next_trial() == spec
    lose(search, spec, node=True, times=MAX_NODES_LOST)
    assert search.state.trials[spec.trial_id].status == "running"
    assert search.next_trial() == spec
    search.on_lost(spec.trial_id, "node 10.0.0.2 was lost", node=True)
    record = search.state.trials[spec.trial_id]
    assert record.status == "failed"
    assert "its node was lost 101 times" in record.stop_reason


def test_a_resumed_search_remembers_the_losses(tmp_path: Path) -> None:
    searched = experiment()
    search = open_search(tmp_path / "a", searched)
    (spec,) = begun(search)
    lose(search, spec, node=False, times=MAX_DEATHS)
    search.journal.close()
    cut(search.journal.events, len(search.journal.events), tmp_path / "b")
    resumed = open_search(tmp_path / "b", searched)
    assert resumed.state.trials[spec.trial_id].worker_deaths == MAX_DEATHS
    assert resumed.next_trial() == spec
    resumed.on_lost(spec.trial_id, "again", node=False)
    assert resumed.state.trials[spec.trial_id].status == "failed"


def test_a_search_follows_the_places_there_are(tmp_path: Path) -> None:
    search = open_search(tmp_path, experiment(), max_concurrent=1)
    live = begun(search)
    assert len(live) == 1
    search.max_concurrent = 3  # nodes have joined
    live += begun(search)
    assert len(live) == 3
    search.max_concurrent = 2  # one was lost; its trial waits for a place of its own
    search.on_lost(live[0].trial_id, "lost", node=True)
    assert search.next_trial() is Pause.WAIT
    search.on_failure(live[1].trial_id, "broken")
    assert begun(search) == [live[0]]


def test_a_search_resumed_on_fewer_places_takes_up_no_more_trials_than_fit(tmp_path: Path) -> None:
    searched = experiment()
    search = open_search(tmp_path, searched, max_concurrent=3)
    live = begun(search)
    search.journal.close()
    resumed = open_search(tmp_path, searched, max_concurrent=1)
    assert begun(resumed) == live[:1]
    resumed.on_failure(live[0].trial_id, "broken")
    assert begun(resumed) == live[1:2]


@pytest.mark.parametrize(
    ("said", "reason", "node"),
    [
        (NODE_DIED, "node 10.0.0.2 was lost", True),
        (PREEMPTED, "node 10.0.0.2 was pre-empted", True),
        (UNAVAILABLE, "node does not answer", True),
        (WORKER_DIED, "Worker unexpectedly exits with a connection error code 2.", False),
        (NO_MODULE, "ModuleNotFoundError: No module named 'harness' at http://***@host", False),
        ("ValueError: of our own", "ValueError: of our own", False),
        (
            f"Failure # 1\n{NO_MODULE}",
            "ModuleNotFoundError: No module named 'harness' at http://***@host",
            False,
        ),
        ("", "no reason known", False),
    ],
)
def test_a_lost_node_is_told_from_a_worker_that_died(
    said: Exception | str, reason: str, node: bool
) -> None:
    assert why_worker_lost(said) == (reason, node)
    assert why_worker_lost(cloudpickle.loads(cloudpickle.dumps(said))) == (reason, node)


def nodes(*offers: dict[str, float], alive: bool = True) -> list[dict[str, Any]]:
    return [{"Alive": alive, "Resources": resources} for resources in offers]


def test_slots_are_counted_on_live_nodes_and_now_and_then_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, cluster = [100.0], nodes({"CPU": 2.0})
    monkeypatch.setattr("harness.executors.ray_slots.time.monotonic", lambda: now[0])
    monkeypatch.setattr("ray.nodes", lambda: cluster)
    tune = FakeTune(open_search(tmp_path / "run", experiment(), 7), tmp_path, follow=True)

    def count() -> int:
        tune.ask()
        return tune.search.max_concurrent

    assert count() == 2
    cluster += nodes({"CPU": 3.0, "GPU": 1.0}) + nodes({"CPU": 8.0}, alive=False)
    assert count() == 2, "not yet"
    now[0] += 3
    assert count() == 5
    cluster.clear()
    now[0] += 3
    assert count() == 1, "one trial waits, so that an autoscaler sees what is needed"
    now[0] += 3
    assert count() == 1
    line = "no node has 1 CPU and 0 GPUs for a trial now: waiting for one"
    assert caplog.messages == [line], "once"
    cluster += nodes({"CPU": 3.0})
    now[0] += 3
    assert count() == 3
    tune = FakeTune(open_search(tmp_path / "fixed", experiment(), 2), tmp_path)
    assert count() == 2, "the user's own number"


def test_what_no_node_meets_is_refused_unless_the_cluster_adds_nodes_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ray.nodes", lambda: nodes({"CPU": 2.0}))
    assert check_request(1, 0) == 2
    with pytest.raises(InputError, match=r"largest node offers 2 CPUs and 0 GPUs.*--autoscaling"):
        check_request(1, 0.5)
    assert check_request(1, 0.5, autoscaling=True) == 0
    assert max_concurrent(tiny(), 0, print) == 1
    assert max_concurrent(tiny({"search.max_concurrent": 8}), 0, print) == 8


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_autoscaling_is_about_a_cluster(executor: Any, tmp_path: Path) -> None:
    options = Options(tmp_path, executor=executor, autoscaling=True)
    with pytest.raises(InputError, match=r"--autoscaling: .* needs --address"):
        executor_of_run(tiny(), options, print)


@pytest.mark.parametrize("command", ["search", "train", "compare", "resume"])
def test_every_command_that_runs_trials_takes_the_flag(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Options] = []

    def stop(*arguments: Any) -> None:
        seen.extend(part for part in arguments if isinstance(part, Options))
        raise InputError("seen")

    monkeypatch.setattr("harness.session.session.start", stop)
    monkeypatch.setattr("harness.session.session.resume", stop)
    monkeypatch.setattr("harness.cli.runs.existing_run", lambda runs_dir, name: runs_dir / name)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny_raw({"compare": {"one": {"defense.steps": 1}}})))
    named = "tiny" if command == "resume" else str(file)
    arguments = [command, named, "--address", "auto", "--autoscaling"]
    if command != "resume":
        arguments += ["--executor", "ray"]
    with pytest.raises(SystemExit):
        main(arguments)
    assert [(options.address, options.autoscaling) for options in seen] == [("auto", True)]


def test_hosts_and_losses_are_shown(tmp_path: Path) -> None:
    searched = experiment()
    search = open_search(tmp_path, searched)
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    (spec,) = begun(search)
    metrics = {"val/clean_map": 0.5, "val/robust_map": 0.2}
    search.on_epoch(spec.trial_id, EpochReport(1, metrics, 1.0, 1.0, "one"))
    lose(search, spec, node=True, times=2)
    assert search.next_trial() == spec
    search.on_epoch(spec.trial_id, EpochReport(2, metrics, 1.0, 2.0, "two"))
    final = {"reattack/clean_map": 0.5, "reattack/robust_map": 0.2}
    search.on_final(spec.trial_id, FinalReport(2, final, 3.0, [], "two"))
    search.on_failure(begun(search)[0].trial_id, "broken")
    search.journal.close()
    found = status_of(tmp_path)
    assert found["hosts"] == {"two": 1}
    assert (found["nodes_lost"], found["workers_died"]) == (2, 0)
    assert "taken up again: 2 times after their node was lost" in render(found)
    write_tables(tmp_path, *load_state(tmp_path))
    assert list(pd.read_parquet(tmp_path / "trials.parquet").host) == ["two", ""]
    assert list(pd.read_parquet(tmp_path / "epochs.parquet").host) == ["one", "two"]


def test_journals_of_earlier_versions_know_no_hosts(tmp_path: Path) -> None:
    search = finished(tmp_path, experiment())
    path = search.journal.path
    old = [{k: v for k, v in event.items() if k != "host"} for event in read(path)]
    path.write_text("".join(json.dumps(event) + "\n" for event in old))
    state = SearchState(read(path))
    assert {record.host for record in state.trials.values()} == {""}
    write_tables(tmp_path, *load_state(tmp_path))
