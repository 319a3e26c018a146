"""The checks of the chaos suite find what they are there to find."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.journal.journal import line_of
from harness.options import Options
from harness.session import session
from harness.tracking.store import default_uri
from tests.chaos.invariants import violations
from tests.chaos.runner import Undisturbed
from tests.chaos.seen import look, lost
from tests.harness.tiny import shared_cache, tiny

pytestmark = pytest.mark.slow
EXPERIMENT = tiny(
    {
        "pretrain.epochs": 6,
        "defense.epochs": 2,
        "search.sampler": "random",
        "search.num_samples": 3,
        "search.scheduler": "asha",  # it stops half of the trials, on any machine
        "search.scalarisation": "mean",
        "search.margin": None,
        "confirm.undefended": False,
    }
)
Event = dict[str, Any]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs with a search that nothing struck."""
    shared_cache(tmp_path_factory)
    runs = tmp_path_factory.mktemp("ended") / "runs"
    options = Options(runs, executor="inline", cache_dir=os.environ["SAAT_CACHE"])
    run_dir = session.start(EXPERIMENT, options, "search", lambda _: None)
    ends = {event["event"] for event in events_of(run_dir) if event.get("stop_reason")}
    assert ends == {"epoch"}, "a trial is stopped"
    return runs


@pytest.fixture
def run_dir(ended: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    shutil.copytree(ended, tmp_path / "runs")
    return tmp_path / "runs" / "tiny"


def events_of(run_dir: Path) -> list[Event]:
    return [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]


def rewrite(run_dir: Path, events: list[Event]) -> None:
    told = [{k: v for k, v in event.items() if k != "checksum"} for event in events]
    lines = [line_of(event | {"seq": number}) for number, event in enumerate(told)]
    (run_dir / "events.jsonl").write_bytes(b"".join(lines))


def found(run_dir: Path) -> list[str]:
    return violations(run_dir, default_uri(run_dir.parent))


def first(events: list[Event], kind: str) -> int:
    return next(number for number, event in enumerate(events) if event["event"] == kind)


def test_a_search_that_nothing_struck_breaks_no_promise(ended: Path) -> None:
    assert found(ended / "tiny") == []


def test_a_changed_digit_breaks_a_promise(run_dir: Path) -> None:
    path = run_dir / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"epoch": 2', b'"epoch": 3', 1))
    assert any("has another checksum" in line for line in found(run_dir))


def epoch_twice(events: list[Event]) -> None:
    events.insert(first(events, "epoch"), events[first(events, "epoch")])


def epoch_lost(events: list[Event]) -> None:
    del events[first(events, "epoch")]


def end_twice(events: list[Event]) -> None:
    events.insert(first(events, "completed"), events[first(events, "completed")])


def end_lost(events: list[Event]) -> None:
    del events[first(events, "completed")]


def trial_twice(events: list[Event]) -> None:
    events.insert(1 + first(events, "suggested"), events[first(events, "suggested")])


def never_finished(events: list[Event]) -> None:
    del events[first(events, "finished")]


def finished_twice(events: list[Event]) -> None:
    events.append(events[first(events, "finished")])


def other_result(events: list[Event]) -> None:
    events[first(events, "completed")]["metrics"]["reattack/clean_map"] += 1e-9


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (epoch_twice, "has epochs [1, 1, 2]"),
        (epoch_lost, "has epochs [2]"),
        (end_twice, "ended 2 times, 1 after it"),
        (end_lost, "ended 0 times"),
        (trial_twice, "suggested 2 times"),
        (never_finished, "0 times finished"),
        (finished_twice, "2 times finished"),
        (other_result, "is not its result.json"),
    ],
)
def test_a_journal_that_lost_something_or_counts_it_twice(
    change: Callable[[list[Event]], None], expected: str, run_dir: Path
) -> None:
    events = events_of(run_dir)
    change(events)
    rewrite(run_dir, events)
    assert any(expected in line for line in found(run_dir)), found(run_dir)


Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("table", "change", "expected"),
    [
        ("trials", lambda rows: rows[1:], "rows "),
        ("trials", lambda rows: rows.assign(status="completed"), "status is 'completed', not"),
        ("trials", lambda rows: rows.assign(stop_reason=""), "stop_reason is ''"),
        ("trials", lambda rows: rows.assign(epochs=1), "epochs is 1, not 2"),
        ("trials", lambda rows: rows.assign(cost_s=rows["cost_s"] + 1e-9), "cost_s is"),
        ("trials", lambda rows: rows.assign(**{"param.defense.lambda": 1.0}), "defense.lambda is"),
        ("trials", lambda rows: rows.assign(**{"metric.val/robust_map": 0.5}), "robust_map is"),
        ("trials", lambda rows: rows.drop(columns="metric.test/clean_map"), "clean_map is None"),
        ("epochs", lambda rows: pd.concat([rows, rows[:1]]), "too many or too few"),
        ("epochs", lambda rows: rows[:-1], "too many or too few"),
        ("epochs", lambda rows: rows.assign(**{"metric.train/loss": 0.5}), "train/loss is 0.5"),
    ],
)
def test_a_table_that_is_not_what_the_journal_says(
    table: str, change: Change, expected: str, run_dir: Path
) -> None:
    path = run_dir / f"{table}.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    lines = found(run_dir)
    assert any(line.startswith(path.name) and expected in line for line in lines), lines


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE runs SET status = 'RUNNING'", "status is 'RUNNING', not 'FINISHED'"),
        ("UPDATE metrics SET step = 3 WHERE step = 2 AND key = 'val/clean_map'", "val/clean_map"),
        ("UPDATE metrics SET value = value + 1e-9 WHERE key = 'best/robust_map'", "best/robust"),
        ("DELETE FROM metrics WHERE step = 2 AND key = 'train/loss'", "train/loss is"),
        (
            "INSERT INTO metrics SELECT key, value, timestamp + 1, run_uuid, step, is_nan "
            "FROM metrics WHERE key = 'val/clean_map' AND step = 1",
            "val/clean_map is",
        ),
        ("DELETE FROM metrics WHERE key = 'hypervolume'", "hypervolume []"),
        ("UPDATE params SET value = '7' WHERE key = 'defense.lambda'", "defense.lambda is '7'"),
        ("DELETE FROM params WHERE key = 'seed'", "seed is None"),
        ("UPDATE tags SET value = 'x' WHERE key = 'saat.trial_id'", "runs {'x': "),
        ("DELETE FROM tags WHERE key = 'saat.stop_reason'", "reason is None"),
        ("UPDATE tags SET value = 'x' WHERE key = 'mlflow.parentRunId'", "parent is 'x'"),
    ],
)
def test_a_tracking_store_that_is_not_what_the_journal_says(
    statement: str, expected: str, run_dir: Path
) -> None:
    store = sqlite3.connect(run_dir.parent / "mlflow.db")
    with store:
        assert store.execute(statement).rowcount > 0
    store.close()
    lines = found(run_dir)
    assert any(line.startswith("MLflow") and expected in line for line in lines), lines


def test_a_report_that_is_cut_short_or_lacks_a_row(run_dir: Path) -> None:
    table, page = run_dir / "report" / "frontier.csv", run_dir / "report" / "report.html"
    whole = table.read_text()
    table.write_text("\n".join(whole.splitlines()[:-1]) + "\n")
    assert [line.partition(" [")[0] for line in found(run_dir)] == ["report: front"]
    table.write_text(whole)
    page.write_text(page.read_text()[:-20])
    assert found(run_dir) == ["report: no whole report.html"]
    page.unlink()
    assert found(run_dir) == ["report: no whole report.html"]


def test_what_was_there_at_a_fault_and_is_not_at_the_end_is_lost(run_dir: Path) -> None:
    then = look(run_dir)
    events = events_of(run_dir)
    assert then.ended == sum(event["event"] == "suggested" for event in events)
    assert then.finished_epochs == sum(event["event"] == "epoch" for event in events)
    assert lost(then, look(run_dir)) == (0, 0)
    rewrite(run_dir, events[: first(events, "completed")])
    gone = [event for event in events[first(events, "completed") :] if event["event"] == "epoch"]
    assert lost(then, look(run_dir)) == (len(gone), then.ended)
    rewrite(run_dir, [{**e, "metrics": {}} if e["event"] == "epoch" else e for e in events])
    assert lost(then, look(run_dir))[0] == then.finished_epochs


def test_a_durable_epoch_counts_before_the_journal_has_it(run_dir: Path) -> None:
    events = events_of(run_dir)
    epochs = [event for event in events if event["event"] == "epoch"]
    # A stopped trial keeps none: they are deleted once the journal has its end.
    stopped = {event["trial_id"] for event in epochs if event.get("stop_reason")}
    durable = [event for event in epochs if event["trial_id"] not in stopped]
    rewrite(run_dir, events[: first(events, "epoch")])
    then = look(run_dir)
    assert then.finished_epochs == len(durable) < len(epochs)
    rewrite(run_dir, events)
    assert lost(then, look(run_dir)) == (0, 0)
    rewrite(run_dir, [event for event in events if event.get("epoch") != 2])
    assert lost(then, look(run_dir))[0] == sum(event["epoch"] == 2 for event in durable)


def test_another_result_than_undisturbed_is_told(ended: Path, run_dir: Path) -> None:
    undisturbed = Undisturbed(ended / "tiny")
    for executor, changed in (("inline", False), ("inline", True), ("ray", False)):
        assert undisturbed.differences(run_dir, executor, changed) == []
    events = events_of(run_dir)
    events[first(events, "completed")]["metrics"]["reattack/clean_map"] += 1e-9
    rewrite(run_dir, events)
    for executor, changed in (("inline", False), ("inline", True), ("ray", False)):
        assert len(undisturbed.differences(run_dir, executor, changed)) == 1
    rewrite(run_dir, [event for event in events if event["event"] != "recommended"])
    assert len(undisturbed.differences(run_dir, "inline", False)) == 2
    assert len(undisturbed.differences(run_dir, "inline", True)) == 1
