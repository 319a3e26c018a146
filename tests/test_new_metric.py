"""The metric of docs/extending.md, from a package of its own, is found wherever numbers are."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from harness.journal.journal import read
from tests.harness.tiny import tiny_raw

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
LABEL = "precision within radius 2"
COMMANDS = """
from harness.__main__ import main
for command in (
    ["search", "tiny.yaml", "--executor", "inline"], ["verify", "tiny"], ["status", "tiny"],
):
    try:
        main(command)
    except SystemExit as end:
        assert not end.code, command
"""


def block(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def install(site: Path) -> None:
    """What an installer leaves of a package that holds what the page shows."""
    info = site / "radius-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "radius.py").write_text(block("metric"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: radius\nVersion: 1.0\n")
    entries = block("entry point").replace("project.entry-points.", "").replace('"', "")
    (info / "entry_points.txt").write_text(entries)


@pytest.mark.lengthy
def test_a_metric_of_another_package_is_measured_stored_shown_and_verified(tmp_path: Path) -> None:
    install(tmp_path / "site")
    # No network of two epochs is that good.
    asked = tiny_raw({"constraints": {"val/radius_2": {"at_least": 1.0}}})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(asked))
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ", 0 differ" in ended.stdout
    assert "no installed package" not in ended.stdout
    assert "empty front" in ended.stdout

    run = tmp_path / "runs" / "tiny"
    told = {
        event["trial_id"]: event["metrics"]
        for event in read(run / "events.jsonl")
        if event["event"] == "completed"
    }
    trials = pd.read_parquet(run / "trials.parquet").set_index("trial_id")
    assert set(told) == set(trials.index)
    for trial_id, metrics in told.items():
        (name,) = (key for key in metrics if key.endswith("radius_2"))
        assert 0 < metrics[name] < 1
        assert trials.loc[trial_id, f"metric.{name}"] == metrics[name]

    with sqlite3.connect(tmp_path / "runs" / "mlflow.db") as store:
        rows = store.execute("select value from metrics where key like '%/radius_2'").fetchall()
    tracked = sorted(value for (value,) in rows)
    assert tracked == sorted(m[k] for m in told.values() for k in m if k.endswith("radius_2"))

    shown = pd.read_csv(run / "report" / "tables" / "confirm.csv")
    measured = trials["metric.test/radius_2"].dropna()
    assert sorted(shown[LABEL]) == pytest.approx(sorted(measured))
    assert f"{LABEL} (%)" in (run / "report" / "tables" / "confirm.md").read_text()
    feasible = pd.read_csv(run / "report" / "tables" / "trials.csv")["feasible"].dropna()
    assert len(feasible)
    assert not feasible.any()
