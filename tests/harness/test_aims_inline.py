"""Real trainings of a search for t-MAP and seconds, from the command line to tracker and report."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import yaml

from harness.__main__ import main
from harness.experiment.resolve import resolve_experiment
from harness.journal.journal import read
from harness.session.status import status_of
from tests.harness.tiny import tiny_raw

ROOT = Path(__file__).resolve().parents[2]
ASKED = {
    "space": {"model.bits": {"choice": [16, 24]}, "defense.lambda": {"float": [0.1, 10.0]}},
    "objectives": {
        "val/clean_map": "max",
        "val/target_map": "min",
        "val/device_seconds": {"min": 3600},
    },
    "constraints": {"val/code_length": {"at_most": 16}},
    "search.prefer": {"val/target_map": 1},
    "search.scheduler": "none",  # seconds decide who goes on, which no test can foresee
    "confirm.undefended": False,
    "pretrain.epochs": 12,
    "evaluation.attacks": ["mainstay", "mainstay_targeted"],
}


def test_the_experiment_of_the_page_is_one(tmp_path: Path) -> None:
    page = (ROOT / "search_spaces" / "README.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("<!-- objectives -->\n```yaml\n")
    content = tiny_raw()
    for section, keys in yaml.safe_load(rest.partition("```")[0]).items():
        content[section] = {**content.get(section, {}), **keys}
    (tmp_path / "page.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(tmp_path / "page.yaml")])
    assert not ended.value.code
    aims = resolve_experiment(content, "page").aims
    assert aims.names == ("clean_map", "target_map", "device_seconds")
    assert aims.preference is not None
    assert aims.preference.bounds == (0.8, None, None)


@pytest.mark.lengthy
def test_a_search_for_t_map_and_seconds_from_start_to_report(
    tmp_path: Path, runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_raw(ASKED), sort_keys=False))
    for command in (
        ["search", str(tmp_path / "tiny.yaml"), "--executor", "inline"],
        ["status", "tiny"],
    ):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--runs-dir", str(runs_dir)])
        assert not ended.value.code, capsys.readouterr().err
    said = capsys.readouterr()
    assert "worst t-MAP: measured at the end of a trial, not in validation" in said.err
    assert "clean MAP, worst t-MAP, device seconds on validation" in said.out
    assert "device seconds -" not in said.err

    run = runs_dir / "tiny"
    events = read(run / "events.jsonl")
    completed = {e["trial_id"]: e for e in events if e["event"] == "completed"}
    trials = pd.read_parquet(run / "trials.parquet").set_index("trial_id")
    explored = trials[(trials.phase == "explore") & (trials.status == "completed")]
    assert len(explored) == 4
    assert (explored["metric.reattack/code_length"] == explored["param.model.bits"]).all()
    assert (explored["metric.reattack/device_seconds"] == explored["cost_s"]).all()
    for trial_id, row in explored.iterrows():
        event = completed[str(trial_id)]
        assert "reattack/device_seconds" not in event["metrics"]
        assert row["metric.reattack/target_map"] == event["metrics"]["reattack/target_map"]

    short = explored[explored["param.model.bits"] == 16]
    assert len(short) < len(explored)
    front = status_of(run)["front"]
    assert front
    assert {entry["trial_id"] for entry in front} <= set(short.index)
    assert status_of(run)["hypervolume"] > 0
    recommended = next(e["trial_ids"] for e in events if e["event"] == "recommended")
    sampled = [i for i in (e["trial_id"] for e in front) if short.loc[i, "role"] == "sampled"]
    if sampled:  # of the front the one with the smallest t-MAP
        best = min(sampled, key=lambda i: short.loc[i, "metric.reattack/target_map"])
        assert recommended == [best]
    with sqlite3.connect(runs_dir / "mlflow.db") as store:
        keys = {key for (key,) in store.execute("select distinct key from metrics")}
        tracked = store.execute(
            "select value from metrics where key = 'reattack/device_seconds'"
        ).fetchall()
    assert {"hypervolume", "best/clean_map", "best/device_seconds", "val/device_seconds"} <= keys
    assert "best/target_map" not in keys
    assert {value for (value,) in tracked} == set(explored["cost_s"])
    assert (run / "report" / "report.html").is_file()
