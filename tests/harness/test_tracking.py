"""Delivery to MLflow: every event once and in order, whatever the server does in between."""

import errno
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import tenacity
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.store.tracking.rest_store import RestStore

from harness.experiment.config import Experiment
from harness.journal.journal import Event, read
from harness.journal.state import SearchState
from harness.session.checks import check_uri
from harness.tracking.delivery_cursor import DeliveryCursor, read_delivery_cursor
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.retries import FINAL_TRIES, is_refusal
from harness.tracking.tracked_values import space_edges_tag
from harness.tracking.tracker import Tracker
from saat.errors import InputError
from tests.harness.fakes import experiment, finished

NAME = "tracked"
TAGS = {"saat.search_id": "the search", "saat.protocol": "protocol"}
REFUSED = MlflowException("never", error_code=INVALID_PARAMETER_VALUE)
DOWN = MlflowException("come back later", error_code=TEMPORARILY_UNAVAILABLE)
Plan = Callable[[str, tuple[Any, ...], dict[str, Any]], tuple[Exception | None, Exception | None]]


def searched() -> Experiment:
    """A default, a trial that is stopped, one that fails, one that completes.

    The first epoch is not validated.
    """
    space = {"defense.lambda": {"float": [0.1, 10.0], "log": True}}
    return experiment(
        name=NAME,
        seed=2,
        space=space,
        search__num_samples=4,
        search__grace_period=2,
        defense__epochs=3,
        validation__every=3,
        confirm__max_configs=0,
    )


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The journal of a whole search."""
    run_dir = tmp_path_factory.mktemp("journal")
    finished(run_dir, searched(), fails=(3.0, 10.0))
    found = read(run_dir / "events.jsonl")
    found.append({"seq": len(found), "time": time.time(), "event": "reported"})
    ends = {(e["event"], "stop_reason" in e) for e in found}
    assert {("completed", False), ("failed", True), ("epoch", True)} <= ends
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two tracking servers."""
    one, two = (tmp_path_factory.mktemp("stores") / name for name in ("one.db", "two.db"))
    MlflowClient(f"sqlite:///{one}").search_experiments()  # makes the tables, which takes seconds
    shutil.copy(one, two)
    return f"sqlite:///{one}", f"sqlite:///{two}"


@pytest.fixture
def server(stores: tuple[str, str]) -> Iterator[str]:
    """A server with nothing on it."""
    yield stores[0]
    for uri in stores:
        wipe(uri)


def wipe(uri: str) -> None:
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(NAME)
    if found is not None:
        client.rename_experiment(found.experiment_id, f"{NAME}-{time.time_ns()}")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of the search with a small report."""
    folder = tmp_path / "runs" / NAME
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "report.html").write_text("<html>")
    (folder / "report" / "frontier.csv").write_text("trial,clean MAP\na,0.5\nb,\n")
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())


class Flaky:
    """A client whose calls fail as planned: before the server heard of it, or after it obeyed."""

    def __init__(self, uri: str, plan: Plan) -> None:
        self.server, self._plan = MlflowClient(uri), plan
        self.logged: list[tuple[str, int, str]] = []  # metrics the server took, in order
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            before, after = self._plan(name, args, options)
            if before:
                raise before
            answer = getattr(self.server, name)(*args, **options)
            if name == "log_batch":
                self.logged += [(args[0], m.step, m.key) for m in options.get("metrics", ())]
            if after:
                raise after
            return answer

        return call


def flaky(monkeypatch: pytest.MonkeyPatch, uri: str, plan: Plan) -> Flaky:
    """The client that trackers get from now on."""
    client = Flaky(uri, plan)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda tracking_uri: client)
    return client


def validated(events: list[Event]) -> list[Event]:
    """Epochs with numbers of validation."""
    return [e for e in events if e["event"] == "epoch" and "val/clean_map" in e["metrics"]]


def obeys(*_: Any) -> tuple[None, None]:
    return None, None


def deliver(uri: str, run_dir: Path, events: list[Event], timeout: float = 60) -> str:
    tracker = Tracker(MlflowRuns(uri, run_dir, searched(), TAGS))
    tracker.start(events)
    return tracker.close(timeout)


def contents(uri: str) -> dict[str, Any]:
    """Everything a server knows of the search but clocks and its own ids."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(NAME)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    names = {run.info.run_id: run.data.tags["saat.trial_id"] for run in runs}
    assert len(set(names.values())) == len(runs), "one run a trial, and one parent"
    out: dict[str, Any] = {}
    for run in runs:
        tags = {k: v for k, v in run.data.tags.items() if k.startswith("saat.")}
        out[names[run.info.run_id]] = {
            "parent": names.get(run.data.tags.get("mlflow.parentRunId", "")),
            "tags": tags,
            "params": run.data.params,
            "status": run.info.status,
            "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
            "metrics": {
                key: sorted(
                    (m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)
                )
                for key in run.data.metrics
            },
        }
    return out


@pytest.fixture(scope="module")
def undisturbed(
    stores: tuple[str, str], events: list[Event], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a server knows that never failed."""
    folder = tmp_path_factory.mktemp("undisturbed") / NAME
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "report.html").write_text("<html>")
    (folder / "report" / "frontier.csv").write_text("trial,clean MAP\na,0.5\nb,\n")
    assert deliver(stores[0], folder, events) == ""
    found = contents(stores[0])
    wipe(stores[0])
    return found


@dataclass(frozen=True)
class Delivery:
    """A server with nothing on it, what is delivered to it, and what it has to know then."""

    server: str
    run_dir: Path
    events: list[Event]
    undisturbed: dict[str, Any]

    def again(self) -> str:
        """Deliver all events, in a process that knows no more than the cursor."""
        return deliver(self.server, self.run_dir, self.events)


@pytest.fixture
def it(server: str, run_dir: Path, events: list[Event], undisturbed: dict[str, Any]) -> Delivery:
    return Delivery(server, run_dir, events, undisturbed)


@pytest.mark.lengthy
def test_a_server_has_what_the_journal_has(
    undisturbed: dict[str, Any], events: list[Event]
) -> None:
    suggested = [e for e in events if e["event"] == "suggested"]
    assert undisturbed.keys() == {"search"} | {e["trial"]["trial_id"] for e in suggested}
    parent = undisturbed["search"]
    assert parent["status"] == "FINISHED"
    assert parent["files"] == ["frontier.csv", "frontier.json", "report.html"]
    for event in suggested:
        trial_id = event["trial"]["trial_id"]
        mine = [e for e in events if e.get("trial_id") == trial_id]
        run, epochs = undisturbed[trial_id], [e for e in mine if e["event"] == "epoch"]
        assert run["parent"] == "search"
        assert run["params"]["defense.lambda"] == str(
            event["trial"]["setting"]["defense"]["lambda"]
        )
        assert run["params"]["seed"] == str(event["trial"]["seed"])
        key = "val/robust_map"
        expected = [(e["epoch"], e["metrics"][key]) for e in epochs if key in e["metrics"]]
        assert 1 not in dict(expected)
        assert run["metrics"].get("train/loss", []) == ([(1, 1.0)] if epochs else [])
        assert run["metrics"].get("val/robust_map", []) == expected
        best = [(e, max(v for at, v in expected if at <= e)) for e, _ in expected]
        assert run["metrics"].get("best/robust_map", []) == best
        end = {"completed": "FINISHED", "failed": "FAILED", "epoch": "KILLED"}[mine[-1]["event"]]
        assert run["status"] == end
        assert run["tags"].get("saat.stop_reason") == mine[-1].get("stop_reason")
        costs = [(e["epoch"], e["cost_s"]) for e in epochs]
        if end == "FINISHED":
            costs.append((mine[-1]["epochs"] + 1, mine[-1]["cost_s"]))
        assert run["metrics"]["cost_s"] == costs
        seconds = {k: v for k, v in run["metrics"].items() if k.startswith("seconds/")}
        told = {"outer_step": 0.5 * len(epochs)} if epochs or end == "FINISHED" else {}
        told |= {"reattack": 3.0} if end == "FINISHED" else {}
        assert seconds == {f"seconds/{k}": [(len(epochs), v)] for k, v in told.items()}
    done = [e for e in events if e["event"] == "completed" and "-explore-" in e["trial_id"]]
    assert [step for step, _ in parent["metrics"]["hypervolume"]] == list(range(1, len(done) + 1))
    assert parent["tags"]["saat.space_edges"] == space_edges_tag(searched(), SearchState(events))


@pytest.mark.lengthy
@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_that_fails_now_and_then_has_every_event_once_and_in_order(
    it: Delivery, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)

    def plan(*_: Any) -> tuple[Exception | None, Exception | None]:
        drawn = chance.random()
        lost = ConnectionError("the answer was lost")
        return (DOWN if drawn < 0.15 else None), (lost if drawn > 0.85 else None)

    client = flaky(monkeypatch, it.server, plan)
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed
    runs = [MlflowClient(it.server).get_run(run) for run in {run for run, _, _ in client.logged}]
    names = {run.info.run_id: run.data.tags["saat.trial_id"] for run in runs}
    told = [(names[run], step) for run, step, key in client.logged if key == "val/clean_map"]
    # What was sent again after a lost answer is there once, as the contents say.
    assert list(dict.fromkeys(told)) == [(e["trial_id"], e["epoch"]) for e in validated(it.events)]


@pytest.mark.slow
def test_a_server_that_was_down_gets_what_it_missed(
    it: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = threading.Event()
    flaky(monkeypatch, it.server, lambda *_: (None if up.is_set() else DOWN, None))
    tracker = Tracker(MlflowRuns(it.server, it.run_dir, searched(), TAGS))
    tracker.start(it.events[:10])
    for event in it.events[10:15]:
        tracker.handle(event)
    up.set()
    for event in it.events[15:]:
        tracker.handle(event)
    assert tracker.close() == ""
    assert contents(it.server) == it.undisturbed


@pytest.mark.slow
def test_a_search_that_ends_while_the_server_is_down_delivers_the_rest_later(
    it: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = validated(it.events)[0]
    down = threading.Event()

    def plan(name: str, args: Any, options: Any) -> tuple[Exception | None, None]:
        if any(m.key == "val/clean_map" for m in options.get("metrics", ())):
            down.set()
        return (DOWN if down.is_set() else None), None

    with monkeypatch.context() as patch:
        flaky(patch, it.server, plan)
        tracker = Tracker(MlflowRuns(it.server, it.run_dir, searched(), TAGS))
        tracker.start(it.events)
        assert down.wait(60)
        left = tracker.close(timeout=0.5)
    missing = len(it.events) - first["seq"]
    assert left.endswith(f"did not accept {missing} events (come back later)")
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed


def test_a_resumed_search_delivers_the_rest_to_the_same_runs(
    it: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = len(it.events) // 2
    assert deliver(it.server, it.run_dir, it.events[:half]) == ""
    client = flaky(monkeypatch, it.server, obeys)
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed
    told = sum(key == "val/clean_map" for _, _, key in client.logged)
    assert told == len(validated(it.events[half:]))
    client.logged.clear()
    assert it.again() == ""
    assert client.logged == [], "all of it was delivered before"


def test_everything_delivered_twice_changes_nothing(it: Delivery) -> None:
    assert it.again() == ""
    (it.run_dir / "tracked.json").unlink()
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed


@pytest.mark.slow
def test_another_server_gets_everything_and_the_first_one_nothing_twice(
    it: Delivery, stores: tuple[str, str]
) -> None:
    assert deliver(it.server, it.run_dir, it.events[:12]) == ""
    assert deliver(stores[1], it.run_dir, it.events) == ""
    assert contents(stores[1]) == it.undisturbed
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed


def test_a_wiped_server_gets_everything_even_if_the_first_try_got_no_further_than_the_parent(
    it: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deliver(it.server, it.run_dir, it.events[:12]) == ""
    wipe(it.server)
    with monkeypatch.context() as patch:
        flaky(patch, it.server, lambda name, *_: (DOWN if name == "log_batch" else None, None))
        assert "did not accept" in deliver(it.server, it.run_dir, it.events[:13], timeout=0.5)
    assert contents(it.server).keys() == {"search"}
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["suggested", "epoch", "completed", "recommended", "reported"])
def test_a_server_that_is_wiped_while_a_search_runs_gets_everything_once_more(
    it: Delivery, kind: str, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before the middle one of the events of some kind; its experiment's number is taken."""
    client = flaky(monkeypatch, it.server, obeys)
    tracker = Tracker(MlflowRuns(it.server, it.run_dir, searched(), TAGS))
    of_kind = [number for number, event in enumerate(it.events) if event["event"] == kind]
    moment = of_kind[len(of_kind) // 2]
    tracker.start(it.events[:moment])
    cursor = it.run_dir / "tracked.json"
    eventually(lambda: read_delivery_cursor(cursor, it.server).delivered == moment - 1)
    taken = client.get_experiment_by_name(NAME).experiment_id
    there = client.server = MlflowClient(stores[1])  # the same address, and nothing behind it
    while int(there.create_experiment(f"{time.time_ns()}")) < int(taken):
        pass
    others = {run.info.run_id for run in there.search_runs([taken])}
    client.logged.clear()
    for event in it.events[moment:]:
        tracker.handle(event)
    assert tracker.close() == ""
    assert contents(stores[1]) == it.undisturbed
    assert {run.info.run_id for run in there.search_runs([taken])} == others
    told = sum(key == "val/clean_map" for _, _, key in client.logged)
    assert told == len(validated(it.events))
    client.calls.clear()
    assert it.again() == ""
    assert "create_run" not in client.calls, "the cursor is of the new runs"


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def nothing_is_delivered() -> bool:
    return all(thread.name != "tracking" for thread in threading.enumerate())


def test_a_final_refusal_is_told_and_the_rest_delivered_and_tried_again_later(
    it: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = next(e for e in it.events if e["event"] == "epoch" and e["epoch"] == 2)
    tries = 0

    def plan(name: str, args: Any, options: Any) -> tuple[Exception | None, None]:
        nonlocal tries
        values = {m.key: m.value for m in options.get("metrics", ())}
        metrics = wanted["metrics"]
        if (
            values.get("val/robust_map") != metrics["val/robust_map"]
            or "val/zero_grad" not in values
        ):
            return None, None
        tries += 1
        return REFUSED, None

    with monkeypatch.context() as patch:
        flaky(patch, it.server, plan)
        left = it.again()
    assert left.endswith("did not accept 1 event (never)"), left
    assert tries == FINAL_TRIES
    found = contents(it.server)
    steps = [step for step, _ in found[wanted["trial_id"]]["metrics"]["val/robust_map"]]
    assert 2 not in steps
    assert found["search"] == it.undisturbed["search"]
    assert it.again() == ""
    assert contents(it.server) == it.undisturbed


@pytest.mark.parametrize("whose", ["experiment.yaml", "result.json", "report.html"])
def test_files_that_are_refused_hold_nothing_else_up(
    it: Delivery, whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_id = next(e["trial_id"] for e in it.events if e["event"] == "completed")
    (it.run_dir / "trials" / trial_id).mkdir(parents=True)
    (it.run_dir / "trials" / trial_id / "result.json").write_text("{}")
    (it.run_dir / "experiment.yaml").write_text("{}")

    def without_files(found: dict[str, Any]) -> dict[str, Any]:
        return {name: {**run, "files": None} for name, run in found.items()}

    def plan(name: str, args: Any, options: Any) -> tuple[Exception | None, None]:
        refused = name in ("log_artifact", "log_text") and args[-1].endswith(whose)
        return (PermissionError("this bucket is not yours") if refused else None), None

    with monkeypatch.context() as patch:
        flaky(patch, it.server, plan)
        left = it.again()
    assert "(this bucket is not yours)" in left
    assert without_files(contents(it.server)) == without_files(it.undisturbed)
    assert it.again() == ""
    assert whose in {file for run in contents(it.server).values() for file in run["files"]}


class Answer(Exception):
    """Of a server, as the clients of many stores raise it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(str(attributes))
        vars(self).update(attributes)


def botocore(status: int) -> Answer:
    return Answer(response={"ResponseMetadata": {"HTTPStatusCode": status}})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (REFUSED, True),
        (DOWN, False),
        (botocore(403), True),
        (botocore(503), False),
        (Answer(response=SimpleNamespace(status_code=404)), True),
        (Answer(response=SimpleNamespace(status_code=429)), False),
        (Answer(response=None), False),
        (Answer(status_code=401, error_code="AuthorizationFailure"), True),  # Azure
        (Answer(code=403), True),  # Google
        (Answer(code=500), False),
        (Answer(code="gkpj"), False),  # SQLAlchemy
        (PermissionError(errno.EACCES, "no"), True),
        (OSError(errno.ENOSPC, "full"), False),
        (ConnectionError("refused"), False),
        (TimeoutError(), False),
    ],
)
def test_a_refusal_is_told_from_trouble_that_passes(error: BaseException, expected: bool) -> None:
    assert is_refusal(error) is expected


def test_a_missing_driver_is_final_at_once(
    run_dir: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def no_driver(tracking_uri: str) -> None:
        tries.append(tracking_uri)
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(mlflow, "MlflowClient", no_driver)
    left = deliver("postgresql://localhost/mlflow", run_dir, events, timeout=20)
    expected = f"did not accept {len(events)} events (No module named 'psycopg')"
    assert left == f"tracking server postgresql://localhost/mlflow {expected}"
    assert len(tries) == 1


@pytest.mark.parametrize("uri", ["postgresql://localhost/db", "mysql://localhost/db"])
def test_a_data_base_without_its_driver_is_refused_before_anything_starts(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("psycopg", "psycopg2", "MySQLdb"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(InputError, match=rf"--tracking-uri {uri}: its driver, the module \w+, is"):
        check_uri(uri)


def test_a_server_that_never_answers_delays_nothing(
    run_dir: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    class Hangs:
        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: released.wait(30)

    monkeypatch.setattr(mlflow, "MlflowClient", lambda tracking_uri: Hangs())
    begun = time.monotonic()
    tracker = Tracker(MlflowRuns("http://tracking.example", run_dir, searched(), TAGS))
    tracker.start(events[:5])
    for event in events[5:]:
        tracker.handle(event)
    assert time.monotonic() - begun < 0.5
    left = tracker.close(timeout=0.2)
    assert time.monotonic() - begun < 2
    assert f"did not accept {len(events)} events" in left
    released.set()
    eventually(nothing_is_delivered)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "http://user:secret@127.0.0.1:9"])
def test_a_server_that_is_down_delays_nothing_and_no_password_is_told(
    uri: str, run_dir: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.undo()  # real waits between the tries
    begun = time.monotonic()
    tracker = Tracker(MlflowRuns(uri, run_dir, searched(), TAGS))
    tracker.start(events)
    left = tracker.close(timeout=1)
    assert time.monotonic() - begun < 6
    assert left.startswith("tracking server http://127.0.0.1:9 did not accept")
    assert "secret" not in left + caplog.text
    eventually(nothing_is_delivered)  # closing ends the waiting between two tries
    assert not (run_dir / "tracked.json").exists()


@pytest.mark.lengthy
def test_a_slow_server_is_waited_for_as_long_as_it_accepts_something(
    server: str, run_dir: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    down = threading.Event()

    def plan(name: str, args: Any, options: Any) -> tuple[Exception | None, None]:
        time.sleep(0.15 if name == "log_batch" else 0)
        return (DOWN if down.is_set() else None), None

    def patiently(timeout: float) -> str:
        tracker = Tracker(MlflowRuns(server, run_dir, searched(), TAGS))
        tracker.start(events)
        return tracker.close(timeout, patient=True)

    flaky(monkeypatch, server, plan)
    begun = time.monotonic()
    assert patiently(2.0) == ""
    assert time.monotonic() - begun > 2.2, "otherwise the test says nothing"
    (run_dir / "tracked.json").unlink()
    down.set()
    assert "did not accept" in patiently(0.3)


def test_mlflow_prints_nothing_when_a_run_at_a_server_ends(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    info = SimpleNamespace(experiment_id="1", run_name="a trial")
    run = SimpleNamespace(info=info, data=SimpleNamespace(tags={}))
    monkeypatch.setattr(RestStore, "update_run_info", lambda *_, **__: None)
    monkeypatch.setattr(RestStore, "get_run", lambda *_, **__: run)
    Tracker(MlflowRuns("http://127.0.0.1:9", run_dir, searched(), TAGS))
    MlflowClient("http://127.0.0.1:9").set_terminated("id")
    assert capsys.readouterr().out == ""


def test_a_full_disk_loses_the_cursor_and_nothing_else(
    it: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("harness.tracking.delivery_cursor.write_record", full)
        assert it.again() == ""
    assert not (it.run_dir / "tracked.json").exists()
    assert contents(it.server) == it.undisturbed


def test_a_report_that_was_deleted_holds_nothing_up(
    server: str, run_dir: Path, events: list[Event]
) -> None:
    for file in (run_dir / "report").iterdir():
        file.unlink()
    assert deliver(server, run_dir, events, timeout=30) == ""
    assert contents(server)["search"]["status"] == "FINISHED"


def test_names_of_compared_settings_may_have_any_character_that_a_name_may_have(
    server: str, run_dir: Path, events: list[Event]
) -> None:
    point = {"defense.lambda": 2.0}
    compared = experiment(name=NAME, compare={"λ=2 (ours) +": point, "plain": {}})
    tracker = Tracker(MlflowRuns(server, run_dir, compared, TAGS))
    tracker.start(events[:3])
    assert tracker.close() == ""
    logged = contents(server)["search"]["params"]["compare"]
    assert json.loads(logged) == {"λ=2 (ours) +": point, "plain": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"uri": "u", "delivered": 7}',
        '{"uri": "u", "run": "r", "delivered": "x", "refused": []}',
        '{"uri": "u", "run": "r", "delivered": 7, "refused": 3}',
        '{"uri": "other", "run": "r", "delivered": 7, "refused": []}',
    ],
)
def test_a_cursor_that_cannot_be_read_or_is_of_another_server_is_none(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "tracked.json"
    path.write_text(text)
    assert read_delivery_cursor(path, "u") == DeliveryCursor(uri="u", run="")
    assert read_delivery_cursor(tmp_path / "nothing", "u") == DeliveryCursor(uri="u", run="")


def test_a_cursor_comes_back_and_counts_what_is_missing(tmp_path: Path) -> None:
    cursor = DeliveryCursor(uri="u", run="r")
    for seq, accepted in ((0, True), (1, False), (2, False), (3, True)):
        assert cursor.is_pending(seq)
        cursor.record(seq, accepted)
    assert [seq for seq in range(6) if cursor.is_pending(seq)] == [1, 2, 4, 5]
    assert cursor.count_pending(5) == 4
    cursor.record(1, accepted=True)
    assert (cursor.delivered, cursor.count_pending(3)) == (3, 1)
    cursor.save(tmp_path / "tracked.json")
    assert read_delivery_cursor(tmp_path / "tracked.json", "u") == cursor


def test_a_cursor_with_a_flipped_digit_is_none(tmp_path: Path) -> None:
    path = tmp_path / "tracked.json"
    DeliveryCursor(uri="u", run="r", delivered=5).save(path)
    assert read_delivery_cursor(path, "u") == DeliveryCursor(uri="u", run="r", delivered=5)
    path.write_text(path.read_text().replace('"delivered": 5', '"delivered": 9'))
    assert read_delivery_cursor(path, "u") == DeliveryCursor(uri="u", run="")
