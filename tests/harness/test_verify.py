"""Reported numbers are recomputed from stored bytes, and any change to either side shows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from harness.__main__ import main
from harness.evaluation.verify import verify
from harness.journal.journal import read
from harness.journal.state import load_state
from harness.session.result_tables import write_tables
from tests.harness.tiny import tiny_raw

ATTACKS = ["mainstay", "hag", "mainstay_targeted"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two settings on the tiny digits, targeted attack included."""
    root = tmp_path_factory.mktemp("verified")
    raw = tiny_raw(
        {"evaluation.attacks": ATTACKS, "compare": {"a": {}, "b": {"defense.lambda": 3}}}
    )
    (root / "tiny.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(SystemExit) as ended:
        main(["compare", f"{root}/tiny.yaml", "--executor", "inline", "--runs-dir", f"{root}/runs"])
    assert ended.value.code == 0
    return root / "runs" / "tiny"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "tiny", ignore=shutil.ignore_patterns("report"))


def trial(run: Path) -> Path:
    return sorted((run / "trials").iterdir())[0]


def wrong(run: Path) -> set[str]:
    return {line.split(": ")[1] for line in verify(run, None, lambda _: None).wrong}


def test_an_untouched_run_is_confirmed_number_by_number(run: Path) -> None:
    found = verify(run, None, lambda _: None)
    assert not found.wrong
    queries = 100
    # Per trial: AP per query for clean, three attacks and worst; metrics in two files.
    assert found.numbers > 2 * 5 * queries
    assert "0 differ" in found.text()
    names = pd.read_parquet(run / "trials.parquet").columns
    assert {"metric.test/tmap.mainstay_targeted", "metric.test/target_map"} <= set(names)


def test_changed_images_show(run: Path) -> None:
    path = trial(run) / "adversarial.npz"
    arrays = dict(np.load(path))
    arrays["hag"][:50] = arrays["mainstay"][:50]
    np.savez(path, **arrays)
    found = wrong(run)
    assert "map.hag" in found
    assert any(name.startswith("per query ") and name.endswith(" hag") for name in found)
    assert "map.mainstay" not in found


def test_a_changed_per_query_value_shows(run: Path) -> None:
    path = trial(run) / "per_query.parquet"
    table = pd.read_parquet(path)
    row = table.index[table["attack"] == "mainstay"][3]
    table.loc[row, "ap"] += 1e-6
    table.to_parquet(path)
    assert wrong(run) == {f"per query {table.loc[row, 'query']} mainstay"}


@pytest.mark.parametrize("name", ["robust_map", "tmap.mainstay_targeted", "linf.hag"])
def test_a_changed_metric_shows_where_it_stands(run: Path, name: str) -> None:
    path = trial(run) / "result.json"
    content = json.loads(path.read_text())
    content["metrics"][f"test/{name}"] += 0.001
    path.write_text(json.dumps(content))
    assert wrong(run) == {f"result.json {name}"}

    events = read(run / "events.jsonl")
    for event in events:
        if event["event"] == "completed" and event["trial_id"] == trial(run).name:
            event["metrics"][f"test/{name}"] += 0.001
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    write_tables(run, *load_state(run))
    assert wrong(run) == {name, f"result.json {name}"}


def test_images_outside_the_ball_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = trial(run) / "adversarial.npz"
    arrays = dict(np.load(path))
    arrays["hag"][0] = 255 - arrays["hag"][0]
    np.savez(path, **arrays)
    with pytest.raises(SystemExit) as ended:
        main(["verify", "tiny", "--runs-dir", str(run.parent)])
    assert ended.value.code == 2
    assert "hag leave the ball" in capsys.readouterr().err


def test_a_discrepancy_ends_the_command_with_1(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trial(run) / "result.json"
    path.write_text(path.read_text().replace('"test/robust_map": 0.', '"test/robust_map": 1.'))
    with pytest.raises(SystemExit) as ended:
        main(["verify", "tiny", "--runs-dir", str(run.parent)])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert "robust_map: reported 1." in out
    assert "1 number is not what the images give" in err


def test_metrics_that_no_package_has_are_named(run: Path) -> None:
    path = trial(run) / "result.json"
    content = json.loads(path.read_text())
    content["metrics"] |= {"test/novel": 0.5, "test/novel.hag": 0.5}
    path.write_text(json.dumps(content))
    found = verify(run, None, lambda _: None)
    assert not found.wrong
    assert found.unknown == {"novel", "novel.hag"}
    assert found.text().endswith("no installed package has them: novel, novel.hag")
