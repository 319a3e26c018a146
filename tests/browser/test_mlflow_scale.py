"""MLflow's pages of a search with a thousand trials; prints how long each takes to be drawn."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.journal.journal import Journal
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.saved_views import EXPLORED, FRONT, LANDING, runs_page
from harness.tracking.store import default_uri
from harness.tracking.tracker import Tracker
from reports.tracked_runs import TrackedRuns, read_tracked_runs, run_page
from tests.browser.devtools import CHROMIUM, chromium
from tests.browser.test_mlflow import serving
from tests.harness.fakes import experiment, finished
from tests.harness.test_tracking_pages import SPACE, TAGS

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium"),
    pytest.mark.lengthy,
    pytest.mark.timeout(3600),
]
TRIALS = 1000
NAME = "thousand"
SECONDS = 60.0  # a page that takes longer is not looked at


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, TrackedRuns]]:
    """The address of a server, and the runs there."""
    runs_dir = tmp_path_factory.mktemp("scale") / "runs"
    searched = experiment(
        name=NAME, space=SPACE, search__num_samples=TRIALS, search__sampler="random"
    )
    finished(runs_dir / NAME, searched)
    (runs_dir / NAME / "experiment.yaml").write_text(yaml.safe_dump(searched.dump()))
    journal = Journal(runs_dir / NAME)
    began = journal.events[0]["time"]
    tracker = Tracker(MlflowRuns(default_uri(runs_dir), runs_dir / NAME, searched, TAGS, began))
    tracker.start(journal.events)
    assert tracker.close(timeout=600, patient=True) == ""
    journal.close()
    found = read_tracked_runs(runs_dir / NAME)
    assert len(found.runs) > TRIALS
    with serving(runs_dir) as base:
        yield base, found


# Drawn: the text, and what only a drawn plot has.
PLOT = "document.querySelectorAll('.js-plotly-plot .scatterlayer path, canvas').length"
PAGES = {
    "landing page": (LANDING, False, (" bits · λ ", "matching runs"), "true"),
    "explored settings as charts": (EXPLORED, True, ("Trade-off", "Parallel Coordinates"), PLOT),
    "the front as charts": (FRONT, True, ("Trade-off", "Parallel Coordinates"), PLOT),
}


@pytest.mark.parametrize("page", [*PAGES, "parent run"])
def test_pages_of_a_thousand_trials_are_drawn(
    store: tuple[str, TrackedRuns], page: str, tmp_path: Path
) -> None:
    base, found = store
    texts: tuple[str, ...] = ("Front of the search, ", "hypervolume")
    address, drawn = run_page(found.experiment_id, found.runs["search"]), "true"
    if page in PAGES:
        view, charts, texts, drawn = PAGES[page]
        address = runs_page(found.experiment_id, view, charts=charts)
    with chromium(tmp_path / "profile", 1500, 1000) as tab:
        began = time.monotonic()
        tab.open(base + address)
        tab.wait_for_text(*texts, seconds=SECONDS)
        tab.wait(drawn, SECONDS)
        print(f"{page}: {time.monotonic() - began:.1f} s")
