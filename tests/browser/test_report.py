"""The page of a report in a browser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.html import write_report
from reports.results import load_search
from tests.reports.synthetic import write_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
def test_a_browser_draws_every_plot_and_sorts(tmp_path: Path) -> None:
    report = write_report([load_search(write_run(tmp_path / "run"))], tmp_path / "report")
    page = tmp_path / "page.html"
    click = """<script>
      const header = [...document.querySelectorAll("th button")]
        .filter((b) => b.textContent === "robust MAP (%)").at(-1);
      for (let i = 0; i < 2; i += 1) header.click();
      const body = header.closest("table").tBodies[0];
      const rows = [...body.rows].map((row) => row.cells[6].textContent);
      document.title = `${document.querySelectorAll(".plot .main-svg").length > 0} `
        + `${document.querySelectorAll(".plot.js-plotly-plot").length} sorted ${rows.join(",")}`;
    </script>"""
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", f"{click}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", "--no-first-run"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000"]
    command = [str(CHROMIUM), *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title
    drawn, plots, _, values = title.group(1).split()
    assert (drawn, plots) == ("true", "11")
    numbers = [float(value) for value in values.split(",")]
    assert len(numbers) == 30
    assert numbers == sorted(numbers, reverse=True)
