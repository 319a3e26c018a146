"""What MLflow shows of a search in a browser: runs, comparison, descriptions, report, model."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from matplotlib.figure import Figure
from mlflow import MlflowClient

from harness.journal.journal import Journal
from harness.journal.state import SearchState
from harness.session.session import make_report
from harness.tracking.mlflow_runs import MlflowRuns
from harness.tracking.saved_views import COMPARISON, FRONT, LANDING, runs_page
from harness.tracking.store import default_uri
from harness.tracking.tracker import Tracker
from reports.tracked_runs import read_tracked_runs, run_page
from tests.browser.devtools import CHROMIUM, Tab, chromium
from tests.harness.fakes import finished
from tests.harness.test_tracking_pages import NAME, TAGS, searched, write_network
from tests.harness.tiny import shared_cache

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium"),
    pytest.mark.timeout(600),
]
# What MLflow's own pages say: it asks for a user that only its plugin for accounts knows, and
# Chromium reports a callback that came a frame late.
_OF_MLFLOW = ("/users/current", "ResizeObserver loop")


class Shown(NamedTuple):
    """A finished search in a running UI."""

    base: str  # address of the server
    experiment_id: str
    parent: str
    state: SearchState
    runs: dict[str, str]  # trial → run
    tested: str  # trial with a model
    model_id: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    runs_dir = tmp_path_factory.mktemp("mlflow") / "runs"
    run_dir, experiment = runs_dir / NAME, searched()
    shared_cache(tmp_path_factory)
    tested = finished(run_dir, experiment).state.of_phase("confirm")[0].spec
    (run_dir / "experiment.yaml").write_text(yaml.safe_dump(experiment.dump(), sort_keys=False))
    write_network(run_dir / "trials" / tested.trial_id / "model.safetensors", tested.config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", small_pictures(Figure.savefig))
        make_report([run_dir], run_dir / "report", lambda _: None)
    journal, uri = Journal(run_dir), default_uri(runs_dir)
    journal.append("reported")
    tracker = Tracker(MlflowRuns(uri, run_dir, experiment, TAGS, journal.events[0]["time"]))
    tracker.start(journal.events)
    assert tracker.close(timeout=200, patient=True) == ""
    journal.close()
    tracked, client = read_tracked_runs(run_dir), MlflowClient(uri)
    (model,) = client.search_logged_models([tracked.experiment_id])
    with serving(runs_dir) as base:
        yield Shown(
            base, tracked.experiment_id, tracked.runs["search"], SearchState(journal.events),
            dict(tracked.runs), tested.trial_id, model.model_id,
        )  # fmt: skip
    shutil.rmtree(runs_dir)


def small_pictures(savefig: Any) -> Any:
    """Drawing figures for print takes most of a report's time, and no browser shows them."""

    def saved(figure: Figure, file: Any, **options: Any) -> None:
        if isinstance(file, BytesIO):
            savefig(figure, file, **options | {"dpi": 20})

    return saved


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    with chromium(tmp_path / "profile", 1500, 1000) as opened:
        yield opened
        ours = [text for text in opened.problems if not any(part in text for part in _OF_MLFLOW)]
        assert ours == []


class serving:  # noqa: N801 (a context manager)
    """``saat ui`` over a folder of runs."""

    def __init__(self, runs_dir: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "harness", "ui", "--runs-dir", str(runs_dir)]
        self._server = subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.DEVNULL)
        self._base = f"http://127.0.0.1:{port}/"

    def __enter__(self) -> str:
        for _ in range(1200):
            with suppress(OSError), urllib.request.urlopen(self._base, timeout=5):
                return self._base
            assert self._server.poll() is None
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def __exit__(self, *_: Any) -> None:
        self._server.terminate()
        self._server.wait(timeout=60)


def test_the_landing_page_lists_runs_by_their_settings(shown: Shown, tab: Tab) -> None:
    tab.open(shown.base + runs_page(shown.experiment_id, LANDING))
    text = tab.wait_for_text("robust_map", "clean_map", "matching runs", " bits · λ ")
    names = re.findall(r"^(?:#\d+|[A-Z]|default|undefended) · \d+ bits.*$", text, re.MULTILINE)
    assert len(names) >= 8
    assert "All trials" in text
    assert "train/loss" not in text


@pytest.mark.parametrize("view", [COMPARISON, FRONT])
def test_the_comparison_has_the_trade_off_and_the_settings(
    shown: Shown, tab: Tab, view: str
) -> None:
    tab.open(shown.base + runs_page(shown.experiment_id, view, charts=True))
    text = tab.wait_for_text("Trade-off", "clean_map vs. robust_map", "Parallel Coordinates")
    assert "train/loss" not in text
    tab.wait("document.querySelectorAll('.js-plotly-plot .scatterlayer, .scatter, canvas').length")


def test_the_parent_has_the_result_and_leads_to_the_report(shown: Shown, tab: Tab) -> None:
    tab.open(shown.base + run_page(shown.experiment_id, shown.parent))
    tab.wait_for_text("Tested settings, means over seeds", "Front of the search")
    report = "document.querySelector('a[href*=\"/artifacts/report.html\"]').getAttribute('href')"
    tab.open(shown.base + str(tab.value(report)))  # MLflow opens it in a tab of its own
    tab.wait("document.querySelector('iframe') !== null")
    assert wait_in_frame(tab, "document.body && document.body.dataset.drawn === 'yes'")
    assert tab.in_frame("document.querySelector('h1').textContent") == NAME
    tab.in_frame("document.querySelector('.plot').scrollIntoView()")  # near plots are drawn
    assert wait_in_frame(tab, "document.querySelectorAll('.plot .main-svg').length")
    assert tab.in_frame("[...document.querySelectorAll('a.run')].length") == 0


@pytest.mark.parametrize(
    ("link", "kind"), [("PNG", "data:image/png;"), ("CSV", "data:text/plain;")]
)
def test_links_of_the_logged_report_work(shown: Shown, tab: Tab, link: str, kind: str) -> None:
    tab.open(shown.base + run_page(shown.experiment_id, shown.parent, "/artifacts/report.html"))
    tab.wait("document.querySelector('iframe') !== null")
    assert wait_in_frame(tab, "document.body && document.body.dataset.drawn === 'yes'")
    assert tab.in_frame("scrollY") == 0
    tab.in_frame("[...document.querySelectorAll('nav a')].at(-1).click()")
    assert wait_in_frame(tab, "scrollY > 0")
    assert tab.frame_address().startswith("blob:"), "a link within the page stays in it"
    tab.in_frame(
        f"[...document.querySelectorAll('a')].find((one) => one.textContent === '{link}').click()"
    )
    end = time.monotonic() + 30
    while not tab.frame_address().startswith(kind):
        assert time.monotonic() < end, tab.frame_address()
        time.sleep(0.1)
    shows = "document.images.length" if link == "PNG" else "document.body.innerText.includes(',')"
    assert wait_in_frame(tab, shows)


def test_a_child_has_its_numbers_and_leads_to_search_and_report(shown: Shown, tab: Tab) -> None:
    tab.open(shown.base + run_page(shown.experiment_id, shown.runs[shown.tested]))
    text = tab.wait_for_text("% clean MAP, ", "on test queries under the full attack")
    assert "seed " in text
    tab.wait(f"document.querySelector('a[href*=\"{shown.parent}/artifacts/report.html\"]')?.href")


def test_a_model_says_how_it_is_loaded(shown: Shown, tab: Tab) -> None:
    page = f"#/experiments/{shown.experiment_id}/models/{shown.model_id}"
    tab.open(shown.base + page)
    tab.wait_for_text("clean_map", f'mlflow_flavor.load_model("models:/{shown.model_id}")')


def wait_in_frame(tab: Tab, expression: str, seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := tab.in_frame(expression)):
        assert time.monotonic() < end, expression
        time.sleep(0.1)
    return found
