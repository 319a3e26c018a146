"""The page of a report in a browser: drawn, sorted, zoomed, and usable without a mouse."""

import re

import pytest

from tests.browser.devtools import CHROMIUM
from tests.browser.pages import DRAWN, NARROW, Look

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")


def test_every_plot_is_drawn_and_nothing_is_requested(look: Look) -> None:
    found = look(f"""{DRAWN}
      const plots = [...document.querySelectorAll(".plot")];
      return {{ drawn: plots.filter((plot) => plot.querySelector(".main-svg")).length,
               plots: plots.length,
               requests: performance.getEntriesByType("resource").map((entry) => entry.name) }};
    """)
    assert found["drawn"] == found["plots"] == 21
    assert not [name for name in found["requests"] if not name.startswith(("data:", "blob:"))]


def test_plots_below_the_window_are_drawn_when_they_come_near(look: Look) -> None:
    first, near, all_of_them = look("""
      const count = () => [...document.querySelectorAll(".plot")]
        .filter((plot) => plot.querySelector(".main-svg")).length;
      const seen = [count()];
      document.querySelector("#ap_per_query").scrollIntoView();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      seen.push(count() - seen[0], document.querySelectorAll(".plot").length);
      return seen;
    """)
    assert 0 < first < all_of_them
    assert 0 < near < all_of_them - first


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
      window.dispatchEvent(new Event("beforeprint"));
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


CUT_OFF = f"""{DRAWN}
  for (const box of document.querySelectorAll("details")) box.open = true;
  await new Promise((resolve) => setTimeout(resolve, 200));
  const boxes = [...document.querySelectorAll(".wide")];
  return {{ page: document.documentElement.scrollWidth - innerWidth,
           wide: boxes.filter((box) => box.scrollWidth > box.clientWidth + 1)
             .map((box) => [box.closest("[id]").id, box.classList.contains("scrolls")]) }};
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
