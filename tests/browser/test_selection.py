"""Figures, ranges, filters and the table of trials select the same settings."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.results import load_search
from tests.browser.devtools import CHROMIUM
from tests.browser.pages import DRAWN, Look, looking_at, report_page
from tests.reports.synthetic import write_run

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")

# What is selected: trials of the table, settings of points and of lines that are marked.
HELPERS = f"""{DRAWN}
  const form = document.querySelector("form.selection");
  const wait = (time = 300) => new Promise((resolve) => setTimeout(resolve, time));
  const change = (field, value, kind) => {{
    field.value = value;
    field.dispatchEvent(new Event(kind, {{ bubbles: true }}));
    return wait();
  }};
  const marked = (name) => {{
    const keys = new Set();
    for (const trace of document.querySelector(`#${{name}} .plot`).data) {{
      if (!trace.customdata || trace.copyOf !== undefined) continue;
      (trace.selectedpoints || []).forEach((i) => keys.add(trace.customdata[i]));
    }}
    return [...keys].sort();
  }};
  const lines = () => {{
    const plot = document.querySelector("#coordinates .plot"), keys = new Set();
    for (const copy of plot.data.filter((trace) => trace.copyOf !== undefined)) {{
      const whole = plot.data[copy.copyOf];
      copy.x.forEach((x, i) => {{ if (x !== null) keys.add(whole.customdata[i]); }});
    }}
    return [...keys].sort();
  }};
  const shown = () => [...document.querySelectorAll("#table-trials tbody tr")]
    .filter((row) => !row.hidden);
  const state = () => ({{
    said: form.querySelector("output").textContent,
    trials: shown().map((row) => row.cells[0].textContent),
    rows: [...new Set(shown().map((row) => row.dataset.key))].sort(),
    front: marked("frontier"), coordinates: marked("coordinates"), lines: lines(),
  }});
  const drag = async (name, from, to) => {{
    const plot = document.querySelector(`#${{name}} .plot`);
    plot.scrollIntoView({{ block: "center" }});
    await Plotly.relayout(plot, {{ dragmode: "select" }});
    await wait();
    const area = plot.querySelector(".nsewdrag"), box = area.getBoundingClientRect();
    const send = (kind, [x, y], target) => target.dispatchEvent(new MouseEvent(kind, {{
      bubbles: true, cancelable: true, view: window, buttons: 1,
      clientX: box.left + x * box.width, clientY: box.top + y * box.height }}));
    send("mousemove", from, area);
    send("mousedown", from, area);
    const cover = document.querySelector(".dragcover") || document;
    for (const part of [0.5, 1]) {{
      send("mousemove", from.map((start, i) => start + part * (to[i] - start)), cover);
      await wait(100);
    }}
    send("mouseup", to, cover);
    await wait(600);
  }};
"""


@pytest.fixture(scope="module")
def trials(folder: Path, content: str) -> pd.DataFrame:
    assert content
    return load_search(folder / "run").trials


def agree(found: dict[str, Any]) -> None:
    """All explored settings of the table, and no others, are marked in the coordinates."""
    assert set(found["coordinates"]) <= set(found["rows"])
    assert found["coordinates"] == found["lines"]
    assert set(found["front"]) <= set(found["coordinates"])


def test_a_filter_marks_its_settings_in_the_figures(look: Look, trials: pd.DataFrame) -> None:
    before, stopped, both, after = look(f"""{HELPERS}
      const seen = [state()];
      await change(form.elements.status, "stopped", "change");
      seen.push(state());
      await change(form.elements.bits, "16 bits", "change");
      seen.push(state());
      form.querySelector("button").click();
      await wait();
      return [...seen, state()];
    """)
    assert before["said"] == "30 of 30 trials"
    assert before["front"] == before["lines"] == []
    ended = trials[trials["status"] == "stopped"]
    assert sorted(stopped["trials"]) == sorted(ended["trial_id"])
    assert stopped["said"] == "5 of 30 trials, 5 settings"
    agree(stopped)
    assert len(stopped["front"]) == len(stopped["lines"]) == 5
    few = ended[ended["param.model.bits"] == 16]
    assert sorted(both["trials"]) == sorted(few["trial_id"])
    agree(both)
    assert len(both["front"]) == len(few)
    assert after == before


def test_a_box_in_the_front_selects_in_the_axes_and_the_table(
    look: Look, trials: pd.DataFrame
) -> None:
    left, right = look(f"""{HELPERS}
      await drag("frontier", [0.02, 0.02], [0.5, 0.98]);
      const seen = [state()];
      await drag("frontier", [0.5, 0.02], [0.99, 0.98]);
      return [...seen, state()];
    """)
    explore = trials[trials["phase"] == "explore"]
    for found in (left, right):
        agree(found)
        assert found["front"]
        assert found["front"] == found["lines"]
        assert set(found["trials"]) <= set(explore["trial_id"])
    assert not set(left["front"]) & set(right["front"])
    clean = explore.set_index("trial_id")["metric.reattack/clean_map"]
    assert clean[left["trials"]].max() < clean[right["trials"]].min()


def test_ranges_of_axes_select_by_keyboard_and_by_a_box(look: Look, trials: pd.DataFrame) -> None:
    slid, said, boxed, ends, reset = look(f"""{HELPERS}
      const field = [...document.querySelectorAll("#coordinates fieldset")]
        .find((one) => one.querySelector("legend").textContent === "λ");
      await change(field.querySelector("input"), "0.5", "input");
      const seen = [state(), field.querySelector("output").textContent];
      form.querySelector("button").click();
      await wait();
      await drag("coordinates", [0.12, 0.02], [0.28, 0.45]);
      seen.push(state(), [...document.querySelectorAll("#coordinates output")]
        .map((one) => one.textContent));
      form.querySelector("button").click();
      await wait();
      return [...seen, state()];
    """)
    explore = trials[trials["phase"] == "explore"]
    large = explore[explore["param.defense.lambda"] >= 1]
    assert sorted(slid["trials"]) == sorted(large["trial_id"])
    assert said == "1 to 10"
    agree(slid)
    assert slid["rows"] == slid["lines"]
    assert ends[0] == "any"
    assert ends[1].endswith(" to 10")
    lowest = float(ends[1].split()[0])
    wanted = explore[explore["param.defense.lambda"] >= lowest]
    assert sorted(boxed["trials"]) == sorted(wanted["trial_id"])
    assert reset["said"] == "30 of 30 trials"


def test_selections_of_several_kinds_hold_together(look: Look, trials: pd.DataFrame) -> None:
    found, none = look(f"""{HELPERS}
      await change(form.elements.status, "completed", "change");
      const range = document.querySelectorAll("#coordinates fieldset")[1].querySelector("input");
      await change(range, "0.6", "input");
      const seen = [state()];
      await change(form.elements.status, "failed", "change");
      await change(range, "1", "input");
      return [...seen, state()];
    """)
    agree(found)
    explore = trials[(trials["phase"] == "explore") & (trials["status"] == "completed")]
    wanted = explore[explore["param.defense.lambda"] > 10**0.2]
    assert sorted(found["trials"]) == sorted(wanted["trial_id"])
    assert none["said"] == "0 of 30 trials, 0 settings"
    assert none["lines"] == none["front"] == []


@pytest.mark.parametrize("kept", ["nothing ended", "one trial", "no trial"])
def test_a_young_search_has_a_page_without_faults(tmp_path: Path, kept: str) -> None:
    run = write_run(tmp_path / "run", complete=False)
    if kept != "nothing ended":
        frame = pd.read_parquet(run / "trials.parquet")
        frame.head(1 if kept == "one trial" else 0).to_parquet(run / "trials.parquet", index=False)
        (run / "epochs.parquet").unlink()
    page = report_page(tmp_path, run).read_text(encoding="utf-8")
    found = looking_at(page, tmp_path)(f"""{DRAWN}
      const form = document.querySelector("form.selection");
      form.dispatchEvent(new Event("change", {{ bubbles: true }}));
      form.querySelector("button").click();
      await new Promise((resolve) => setTimeout(resolve, 300));
      const range = document.querySelector(".ranges input");
      if (range) range.dispatchEvent(new Event("input", {{ bubbles: true }}));
      return form.hidden ? "hidden" : form.querySelector("output").textContent;
    """)
    said = {"nothing ended": "12 of 12 trials", "one trial": "1 of 1 trials", "no trial": "hidden"}
    assert found == said[kept]
