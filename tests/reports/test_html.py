"""The page: self-contained, escaped, honest, and possible with little data."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import html
from reports.figures import ReportFigure
from reports.figures.chart import Axis, Chart, Line, Panel
from reports.html import comparable_groups, write_report
from reports.results import load_search
from tests.reports.synthetic import write_run

FIGURES = (
    "frontier",
    "confirmed",
    "hypervolume",
    "learning_curves",
    "parameters",
    "precision_recall",
    "examples",
)
TABLES = ("summary", "frontier", "confirm", "attacks", "gains", "trials")


class Page(HTMLParser):
    """Elements, their links, and the text that a reader sees."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = tag
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_endtag(self, _tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    run = write_run(folder / "run")
    return write_report([load_search(run)], folder / "out")


@pytest.fixture(scope="module")
def page(report):
    return Page(report)


@pytest.mark.slow
def test_every_file_exists_and_is_not_trivial(report):
    for name in FIGURES:
        picture = (report.parent / "figures" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 20_000
        document = (report.parent / "figures" / f"{name}.pdf").read_bytes()
        assert document.startswith(b"%PDF")
        assert len(document) > 8_000
    for name in TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (report.parent / "tables" / f"{name}.{suffix}").stat().st_size > 100
    assert len(pd.read_csv(report.parent / "frontier.csv")) == 5


def test_page_loads_nothing_from_the_network(page):
    assert page.links
    for link in page.links:
        assert link.startswith(("figures/", "tables/", "data:", "#"))
    style = "".join(re.findall(r"(?:@import|url\()[^;]*", page.text))
    assert style == ""


def test_links_of_the_page_lead_to_files(report, page):
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            assert (report.parent / link).is_file(), link


def test_sections_are_in_order(page):
    titles = (
        "Frontier",
        "Test results",
        "Hypervolume over cost",
        "Learning curves",
        "Searched parameters",
        "Precision and recall",
        "Attacked queries",
        "All trials",
        "Protocol and provenance",
    )
    places = [page.text.index(title) for title in titles]
    assert places == sorted(places)


def test_every_part_has_an_id_of_its_own(page):
    assert len(set(page.ids)) == len(page.ids)
    assert {"front", "test", "cost", "trials", "protocol", "frontier", "table-summary"} <= {
        *page.ids
    }


@pytest.mark.lengthy
def test_a_page_is_small_and_equal_results_give_equal_bytes(report, tmp_path):
    assert report.stat().st_size < 4_000_000
    run = write_run(tmp_path / "run")
    again = write_report([load_search(run)], tmp_path / "out")
    assert again.read_bytes() == report.read_bytes()


def test_the_first_screen_comes_before_the_figures(page):
    text = " ".join(page.text.split())
    places = [text.index(part) for part in ("Which setting?", "Use A", "Frontier")]
    assert places == sorted(places)


def test_verdict_is_honest(page):
    text = " ".join(page.text.split())
    assert "12 trials were explored" in text
    assert "6 completed, 5 stopped early, 1 failed" in text
    assert "3 seeds are too few for a claim of significance (6 needed)." in text
    assert "a random order scores 15.8 %" in text
    assert "is significant" not in text


def test_page_says_what_the_robust_number_means(page):
    text = " ".join(page.text.split())
    assert "minimum AP over the clean image and all attacks (mainstay, hag)" in text
    assert "ε = 8/255, T = 100 steps" in text
    assert "AP@1000" in text
    assert "number of relevant items within the top 1000" in text
    assert "sha256:1f2e3d" in text


def test_plotly_is_inlined_once(page):
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1


@pytest.mark.usefixtures("quick_pictures")
def test_json_cannot_end_its_script(page):
    figures = [script for script in page.scripts if script.startswith('{"data"')]
    assert len(figures) == 21
    assert not any("<" in script for script in figures)


@pytest.mark.usefixtures("quick_pictures")
def test_names_from_files_are_escaped(tmp_path, page):
    name = "<script>alert(1)</script> a_b & 100% $x$ <a href='http://evil'>"
    run = write_run(tmp_path / "run", name=name)
    evil = Page(write_report([load_search(run)], tmp_path / "out"))
    assert evil.tags == page.tags
    assert len(evil.scripts) == len(page.scripts)
    assert name in evil.text
    assert not any("evil" in link for link in evil.links)
    # plotly reads a small HTML of its own in the JSON that it is given.
    figures = [s for s in evil.scripts if len(s) < 1_000_000 and "alert(1)" in s]
    assert figures
    assert not any("<script" in s or "\\u003cscript" in s for s in figures)
    latex = (tmp_path / "out" / "tables" / "trials.tex").read_text()
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    assert r"a\_b \& 100\% \$x\$" in latex


@pytest.mark.slow
@pytest.mark.usefixtures("quick_pictures")
def test_two_runs_of_one_protocol_are_overlaid(tmp_path):
    searches = [
        load_search(write_run(tmp_path / "a", name="same")),
        load_search(write_run(tmp_path / "b", name="same", shift=0.02)),
    ]
    assert len(comparable_groups(searches)) == 1
    path = write_report(searches, tmp_path / "out")
    page = Page(path)
    assert "different protocols" not in page.text
    assert "same (1): 16 bits" in path.read_text()
    assert (tmp_path / "out" / "figures" / "frontier.png").is_file()
    curves = sorted(p.name for p in (tmp_path / "out" / "figures").glob("learning_curves*.png"))
    assert curves == ["learning_curves-1-same-1.png", "learning_curves-2-same-2.png"]
    table = pd.read_csv(tmp_path / "out" / "frontier.csv")
    assert set(table["search"]) == {"same (1)", "same (2)"}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_pictures")
def test_two_protocols_are_kept_apart(tmp_path):
    searches = [
        load_search(write_run(tmp_path / "a", name="first")),
        load_search(write_run(tmp_path / "b", name="second", protocol="protocol-b", shift=0.3)),
    ]
    page = Page(write_report(searches, tmp_path / "out"))
    assert "cannot be compared" in page.text
    assert page.text.count("Clean and robust MAP of all explored trials") == 2
    table = pd.read_csv(tmp_path / "out" / "frontier.csv")
    # The second search is better everywhere, and still takes nobody off the other's front.
    assert table.groupby("protocol_hash")["on union front"].any().all()
    figures = {p.name for p in (tmp_path / "out" / "figures").glob("frontier*.png")}
    assert figures == {"frontier-protocol1.png", "frontier-protocol2.png"}


@pytest.mark.usefixtures("quick_pictures")
def test_a_search_without_completed_trials_has_a_report(tmp_path):
    run = write_run(tmp_path / "run", complete=False)
    page = Page(write_report([load_search(run)], tmp_path / "out"))
    assert "No explored trial has completed yet" in page.text
    assert len(pd.read_csv(tmp_path / "out" / "frontier.csv")) == 0


@pytest.mark.usefixtures("quick_pictures")
def test_one_trained_setting_has_a_report(tmp_path):
    run = write_run(tmp_path / "run", explore=False, phases=("train",))
    page = Page(write_report([load_search(run)], tmp_path / "out"))
    assert "nothing was searched" in page.text
    assert "Trained, 32 bits, reaches" in " ".join(page.text.split())


@pytest.mark.lengthy
@pytest.mark.usefixtures("quick_pictures")
def test_six_seeds_may_be_called_significant(tmp_path):
    run = write_run(tmp_path / "run", seeds=(100, 101, 102, 103, 104, 105))
    page = Page(write_report([load_search(run)], tmp_path / "out"))
    text = " ".join(page.text.split())
    assert "robust MAP: significant (paired t-test, 6 seeds" in text
    assert "too few" not in text


def test_a_report_needs_a_search(tmp_path):
    with pytest.raises(ValueError, match="at least one search"):
        write_report([], tmp_path)


@pytest.mark.lengthy
@pytest.mark.usefixtures("quick_pictures")
def test_a_new_figure_is_on_the_page_without_a_line_in_the_template(tmp_path, monkeypatch):
    axis, values = Axis("mine"), np.array([1.0, 2.0])
    chart = Chart([Panel([Line(values, values, "black", "one more")], axis, axis)])
    new = ReportFigure("new", "A figure of its own", "What it says.", chart)
    for name in ("overlaid_figures", "search_figures"):
        made = getattr(html, name)
        monkeypatch.setattr(html, name, lambda *given, made=made: made(*given) | {"new": new})
    run = load_search(write_run(tmp_path / "run"))
    page = Page(write_report([run], tmp_path / "out"))
    assert page.text.count("A figure of its own") == 2
    assert page.text.count("Learning curves") == 1
