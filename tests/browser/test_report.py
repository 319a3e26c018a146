"""The page of a report in a browser: drawn, sorted, zoomed, and usable without a mouse."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure

from reports.html import write_report
from reports.results import load_search
from tests.reports.synthetic import write_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDE, NARROW = 1280, 500  # CSS pixels; a window of Chromium is 500 wide at least
# Runs `look()` when all plots are drawn, and hands its result over as the title.
WATCH = """<script>
  const faults = [];
  addEventListener("error", (event) => faults.push(event.message));
  addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
  async function look() {{ {body} }}
  const timer = setInterval(async () => {{
    if (document.body.dataset.drawn !== "yes" && !faults.length) return;
    clearInterval(timer);
    const found = await look();
    document.title = JSON.stringify({{ found, faults }});
  }}, 50);
</script>"""
Look = Callable[..., Any]

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Open the page of a finished run, run the body of a function there, return its result."""
    folder = tmp_path_factory.mktemp("browser")
    run = write_run(folder / "run", attacks=("mainstay", "hag", "noise"))
    with pytest.MonkeyPatch.context() as patch:
        # The files for print take most of the time, and no browser draws them.
        patch.setattr(Figure, "draw_without_rendering", lambda _self: None)
        patch.setattr(Figure, "savefig", lambda _self, file, **_options: None)
        page = write_report([load_search(run)], folder / "report")
    content = page.read_text(encoding="utf-8")

    def opened(body: str, width: int = WIDE) -> Any:
        page = folder / "page.html"
        script = WATCH.format(body=body)
        page.write_text(content.replace("<body>", f"<body>{script}", 1), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options += ["--disable-component-update", "--disable-sync", "--no-first-run"]
        options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=10000"]
        command = [str(CHROMIUM), *options, f"--window-size={width},900", "--dump-dom"]
        done = subprocess.run(
            [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
        assert title, "the page was never drawn"
        answer = json.loads(title.group(1).replace("&lt;", "<").replace("&amp;", "&"))
        assert answer["faults"] == []
        return answer["found"]

    return opened


def test_every_plot_is_drawn_and_nothing_is_requested(look: Look) -> None:
    found = look("""
      const plots = [...document.querySelectorAll(".plot")];
      return { drawn: plots.filter((plot) => plot.querySelector(".main-svg")).length,
               plots: plots.length,
               requests: performance.getEntriesByType("resource").map((entry) => entry.name) };
    """)
    assert found["drawn"] == found["plots"] == 16
    assert not [name for name in found["requests"] if not name.startswith(("data:", "blob:"))]


def test_a_click_on_a_header_sorts(look: Look) -> None:
    values = look("""
      const header = [...document.querySelectorAll("#table-trials th button")]
        .find((button) => button.textContent === "robust MAP (%)");
      header.click();
      header.click();
      const column = header.closest("th").cellIndex;
      return [...header.closest("table").tBodies[0].rows]
        .map((row) => parseFloat(row.cells[column].textContent));
    """)
    assert len(values) == 30
    assert values == sorted(values, reverse=True)


def test_the_switch_shows_chance_and_floor(look: Look) -> None:
    before, after, again = look("""
      const plot = document.querySelector("#frontier .plot");
      const box = document.querySelector("#frontier .switch input");
      const seen = [[...plot._fullLayout.yaxis.range]];
      for (let i = 0; i < 2; i += 1) {
        box.click();
        await new Promise((resolve) => setTimeout(resolve, 500));
        seen.push([...plot._fullLayout.yaxis.range]);
      }
      return seen;
    """)
    assert before[0] > 20
    assert after[0] < 6  # the floor is 6 %
    assert again == pytest.approx(before)


def test_the_keyboard_reaches_everything_in_few_steps(look: Look) -> None:
    found = look("""
      const focusable = "a[href], button, input, summary, [tabindex]";
      const stops = [...document.querySelectorAll(focusable)].filter((e) => e.tabIndex >= 0);
      const images = document.querySelectorAll('[role="img"], img');
      return { first: stops[0].className,
               of_plots: stops.filter((stop) => stop.closest(".modebar")).length,
               plots: document.querySelectorAll(".plot").length,
               nested: [...images].filter((e) => e.querySelector(focusable)).length,
               unnamed: stops.filter((e) => !e.closest(".modebar") && !(e.textContent.trim()
                 || e.ariaLabel || e.closest("label"))).length,
               contents: [...document.querySelectorAll("nav a")].every(
                 (link) => document.getElementById(link.hash.slice(1))) };
    """)
    assert found["first"] == "skip"
    assert found["of_plots"] <= found["plots"]
    assert found["nested"] == found["unnamed"] == 0
    assert found["contents"]


CUT_OFF = """
  for (const box of document.querySelectorAll("details")) box.open = true;
  await new Promise((resolve) => setTimeout(resolve, 200));
  const boxes = [...document.querySelectorAll(".wide")];
  return { page: document.documentElement.scrollWidth - innerWidth,
           wide: boxes.filter((box) => box.scrollWidth > box.clientWidth + 1)
             .map((box) => [box.closest("[id]").id, box.classList.contains("scrolls")]) };
"""


def test_tables_fit_a_wide_window(look: Look) -> None:
    found = look(CUT_OFF)
    assert found["page"] <= 0
    assert found["wide"] == []


def test_a_narrow_window_scrolls_tables_alone_and_says_so(look: Look) -> None:
    found = look(CUT_OFF, width=NARROW)
    assert found["page"] <= 0
    assert found["wide"]
    assert all(has_hint for _, has_hint in found["wide"])
    cells = look(
        """return [...document.querySelectorAll("#matrix td")].map((cell) => cell.textContent);""",
        width=NARROW,
    )
    assert sum(bool(re.match(r"\d+\.\d", cell)) for cell in cells) == 6 * 5
