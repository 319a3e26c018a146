"""What is derived from a journal: tables, status, lists."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from harness.__main__ import main
from harness.journal.events import problem_with
from harness.journal.state import SearchState, load_state
from harness.search.search import Search
from harness.session.listing import LISTS, listing
from harness.session.result_tables import write_tables
from harness.session.status import render, status_of
from reports.frontier import hypervolume, pareto_mask
from saat.attacks import ATTACKS
from saat.errors import InputError
from tests.harness.fakes import cut, experiment, finished

FAILS = (3.0, 5.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Search]:
    run_dir = tmp_path_factory.mktemp("runs") / "done"
    searched = experiment(name="done", search__num_samples=9)
    search = finished(run_dir, searched, fails=FAILS)
    (run_dir / "experiment.yaml").write_text(yaml.safe_dump(searched.dump(), sort_keys=False))
    write_tables(run_dir, *load_state(run_dir))
    return run_dir, search


def test_the_fake_search_has_every_end(run: tuple[Path, Search]) -> None:
    statuses = {r.status for r in run[1].state.trials.values()}
    assert statuses == {"completed", "stopped", "failed"}


def test_the_table_of_trials_is_the_journal(run: tuple[Path, Search]) -> None:
    run_dir, search = run
    table = pd.read_parquet(run_dir / "trials.parquet")
    records = list(search.state.trials.values())
    assert list(table.trial_id) == [r.spec.trial_id for r in records]
    assert list(table.number) == list(range(len(records)))
    assert set(table.protocol_hash) == {"protocol"}
    for row, record in zip(table.to_dict("records"), records, strict=True):
        assert (row["phase"], row["role"]) == (record.spec.phase, record.spec.role)
        assert (row["seed"], row["status"]) == (record.spec.seed, record.status)
        assert row["stop_reason"] == record.stop_reason
        assert (row["stop_reason"] == "") == (record.status == "completed")
        assert (row["epochs"], row["cost_s"]) == (len(record.epochs), record.cost_s)
        assert row["finished_at"] == record.finished_at
        if record.epochs:  # of the end where there is one, else the sum of the epochs'
            assert row["seconds.outer_step"] == 0.5 * len(record.epochs)
        assert (row["seconds.reattack"] == 3.0) == (record.status == "completed")
        assert row["config_hash"] == record.config_hash
        for key, value in record.config.flat().items():
            found = row[f"param.{key}"]
            assert str(found) == str(value) or float(found) == pytest.approx(value, rel=1e-12)
        for name in (c.removeprefix("metric.") for c in map(str, table) if c[:7] == "metric."):
            found = row[f"metric.{name}"]
            assert found == record.metrics[name] if name in record.metrics else math.isnan(found)


def test_a_journal_without_seconds_by_stage_has_no_such_columns(
    run: tuple[Path, Search], tmp_path: Path
) -> None:
    _, search = run
    events = [{k: v for k, v in e.items() if k != "stages"} for e in search.journal.events]
    assert not any(map(problem_with, events))
    write_tables(tmp_path, events[0], SearchState(events))
    columns = pd.read_parquet(tmp_path / "trials.parquet").columns
    assert not [name for name in columns if name.startswith("seconds.")]


@pytest.mark.parametrize("stages", [{"outer step": 1.0}, {"encode": -1.0}, {"encode": math.nan}])
def test_seconds_by_stage_that_cannot_be_are_damage(
    run: tuple[Path, Search], stages: dict[str, float]
) -> None:
    event = next(e for e in run[1].journal.events if e["event"] == "completed")
    assert "stages" in problem_with({**event, "stages": stages})


def test_costs_and_metrics_are_those_of_the_last_event_that_has_them(
    run: tuple[Path, Search],
) -> None:
    run_dir, search = run
    table = pd.read_parquet(run_dir / "trials.parquet").set_index("trial_id")
    costs: dict[str, float] = {}
    times: dict[str, float] = {}
    metrics: dict[tuple[str, str], float] = {}
    for event in search.journal.events:
        if event["event"] in ("epoch", "completed", "failed"):
            trial_id = event["trial_id"]
            times[trial_id] = event["time"]
            costs[trial_id] = event.get("cost_s", costs.get(trial_id, 0.0))
            metrics |= {(trial_id, n): v for n, v in event.get("metrics", {}).items()}
    assert table.cost_s.to_dict() == costs
    assert table.finished_at.to_dict() == times
    for (trial_id, name), value in metrics.items():
        assert table.loc[trial_id, f"metric.{name}"] == value


def test_the_table_of_epochs_is_the_journal(run: tuple[Path, Search]) -> None:
    run_dir, search = run
    table = pd.read_parquet(run_dir / "epochs.parquet")
    expected = [
        (event["trial_id"], event["epoch"], event["seconds"], event["metrics"]["val/robust_map"])
        for event in search.journal.events
        if event["event"] == "epoch"
    ]
    columns = table[["trial_id", "epoch", "seconds", "metric.val/robust_map"]]
    assert sorted(columns.itertuples(index=False, name=None)) == sorted(expected)


def test_deriving_again_changes_nothing_but_the_tables(run: tuple[Path, Search]) -> None:
    run_dir, _ = run
    before = pd.read_parquet(run_dir / "trials.parquet")
    journal = (run_dir / "events.jsonl").read_bytes()
    write_tables(run_dir, *load_state(run_dir))
    pd.testing.assert_frame_equal(pd.read_parquet(run_dir / "trials.parquet"), before)
    assert (run_dir / "events.jsonl").read_bytes() == journal


def test_a_search_that_never_started_has_no_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="never started"):
        write_tables(tmp_path, *load_state(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_status_is_the_state_of_the_search(run: tuple[Path, Search], capsys: Any) -> None:
    run_dir, search = run
    with pytest.raises(SystemExit) as ended:
        main(["status", "done", "--json", "--runs-dir", str(run_dir.parent)])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    explored = [r for r in search.state.of_phase("explore") if r.status == "completed"]
    points = [tuple(r.metrics[f"reattack/{n}_map"] for n in ("clean", "robust")) for r in explored]
    front = {r.spec.trial_id for r, on in zip(explored, pareto_mask(points), strict=True) if on}
    assert (found["name"], found["state"], found["phase"]) == ("done", "finished", "confirm")
    assert {entry["trial_id"] for entry in found["front"]} == front
    assert found["hypervolume"] == pytest.approx(hypervolume(points))
    assert found["running"] == []
    failed = [r for r in search.state.trials.values() if r.status == "failed"]
    assert found["failed"] == {r.spec.trial_id: r.stop_reason for r in failed}
    text = render(found)
    assert all(trial_id in text for trial_id in front)
    assert f"{len(search.state.trials)} trials" in text


def test_status_of_an_unfinished_search_names_what_runs(
    run: tuple[Path, Search], tmp_path: Path
) -> None:
    run_dir, search = run
    cut(search.journal.events, 3, tmp_path / "cut")
    (tmp_path / "cut" / "experiment.yaml").write_bytes((run_dir / "experiment.yaml").read_bytes())
    before = (tmp_path / "cut" / "events.jsonl").read_bytes()
    found = status_of(tmp_path / "cut")
    first = next(iter(search.state.trials))
    assert (found["state"], found["phase"]) == ("unfinished", "explore")
    assert [trial["trial_id"] for trial in found["running"]] == [first]
    assert (found["front"], found["hypervolume"]) == ([], 0.0)
    assert (tmp_path / "cut" / "events.jsonl").read_bytes() == before


def test_status_of_a_training_knows_no_front(tmp_path: Path) -> None:
    searched = experiment()
    finished(tmp_path, searched, plan="train")
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    found = status_of(tmp_path)
    assert (found["state"], found["phase"]) == ("finished", "train")
    first, *table = render(found).splitlines()
    assert first == f"{tmp_path.name}: finished (train), 1 trial: 1 completed"
    assert len(table) == 3  # caption, names of the columns, the setting


@pytest.mark.parametrize("what", LISTS)
def test_every_list_has_a_line_an_entry(what: str, tmp_path: Path) -> None:
    lines = listing(what, tmp_path)[0].splitlines()
    if what == "searches":
        assert lines == ["no searches yet"]
        return
    assert lines
    for line in lines:
        name, _, sentence = line.partition("  ")
        assert name
        assert len(sentence.strip()) > 5


def test_lists_name_what_experiments_may_name() -> None:
    attacks = listing("attacks", Path())[0]
    for name, attack in ATTACKS.items():
        (line,) = [line for line in attacks.splitlines() if line.split()[0] == name]
        assert ("  targeted" in line) == attack.targeted
    assert "none" in listing("defenses", Path())[0]
    assert "quickstart.yaml" in listing("spaces", Path())[0]


def test_the_list_of_searches_says_how_they_ended(run: tuple[Path, Search]) -> None:
    run_dir, search = run
    cut(search.journal.events, 5, run_dir.parent / "other")
    lines = listing("searches", run_dir.parent)[0].splitlines()
    (done,) = [line for line in lines if line.startswith("done")]
    (other,) = [line for line in lines if line.startswith("other")]
    assert f"finished, {len(search.state.trials)} trials" in done
    assert "unfinished, 1 trial: 1 running" in other
