"""Links from a report to runs in MLflow: from the run's folder alone, and only where they work."""

import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from reports.checksums import with_checksum
from reports.html import write_report
from reports.results import load_search
from reports.tracked_runs import TRACKED_RUNS, TrackedRuns, read_tracked_runs
from tests.reports.synthetic import write_run

SERVER = "http://127.0.0.1:5000"


def tracked(run: Path, uri: str) -> dict[str, str]:
    """Write what the tracker leaves; returns the run of every trial."""
    trials = load_search(run).trials["trial_id"]
    runs = {str(trial): f"{i:032x}" for i, trial in enumerate(trials)} | {"search": "f" * 32}
    content = {"uri": uri, "experiment_id": "7", "runs": runs}
    (run / TRACKED_RUNS).write_text(json.dumps(with_checksum(content)))
    return runs


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Figure, "draw_without_rendering", lambda _self: None)
    monkeypatch.setattr(Figure, "savefig", lambda _self, file, **_options: None)
    return tmp_path / "report"


def links(page: str) -> dict[str, str]:
    """Address → text of the links to runs."""
    return dict(re.findall(r'<a class="run" href="([^"]*)">(.*?)</a>', page))


@pytest.mark.slow
def test_trials_and_settings_lead_to_their_runs_at_a_server(tmp_path: Path, report: Path) -> None:
    run = write_run(tmp_path / "run")
    runs = tracked(run, SERVER)
    page = write_report([load_search(run)], report).read_text()
    again = write_report([load_search(run)], tmp_path / "again").read_text()
    assert page == again
    found = links(page)
    for trial, run_id in runs.items():
        address = f"{SERVER}/#/experiments/7/runs/{run_id}?workflowType=machine_learning"
        assert found[address] == ("quickstart" if trial == "search" else trial)
    compared = [text for address, text in found.items() if "#/compare-runs?runs=" in address]
    assert any(text.startswith("recommended A") for text in compared)
    assert "MLflow" in (report / "tables" / "trials.csv").read_text().partition("\n")[0]
    assert "MLflow" not in (report / "tables" / "trials.md").read_text()


def test_an_embedded_store_has_a_command_and_no_link(tmp_path: Path, report: Path) -> None:
    run = write_run(tmp_path / "run")
    tracked(run, "sqlite:////somewhere/mlflow.db")
    page = write_report([load_search(run)], report).read_text()
    assert not links(page)
    assert re.search(r"<code>saat ui \S+</code> opens the runs", page)
    assert "somewhere" not in page


@pytest.mark.parametrize(
    "content",
    [
        None, "", "{", "[]", "{}", '{"uri": 3, "experiment_id": "7", "runs": {}}',
        json.dumps({"uri": SERVER, "experiment_id": "7", "runs": {"search": 'x"><script>'}}),
        json.dumps({"uri": SERVER, "experiment_id": "../7", "runs": {"search": "f"}}),
        json.dumps({"uri": SERVER, "experiment_id": "7", "runs": {"search": "f"}, "checksum": "0"}),
    ],
)  # fmt: skip
def test_where_nothing_was_tracked_or_it_is_damaged_there_is_no_link(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / TRACKED_RUNS).write_text(content)
    assert read_tracked_runs(tmp_path) == TrackedRuns()


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)//", "http://user:secret@host", "file:///x", "databricks", ""]
)
def test_only_servers_without_a_password_are_linked(uri: str) -> None:
    found = TrackedRuns(uri, "7", {"search": "f"})
    assert (found.server, found.address(["search"])) == ("", "")


def test_a_trial_whose_run_is_not_known_has_no_address() -> None:
    found = TrackedRuns(f"{SERVER}/", "7", {"a": "1"})
    assert found.address(["a"]).startswith(f"{SERVER}/#/experiments/7/runs/1?")
    assert found.address(["a", "b"]) == found.address([]) == ""
