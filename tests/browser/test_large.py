"""How large the page is, and how fast it opens, for a demo and for a search of 1,000 trials."""

from pathlib import Path

import pytest

from tests.browser.devtools import CHROMIUM
from tests.browser.pages import DRAWN, ask, report_page, seconds_until_drawn
from tests.reports.synthetic import write_run

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
LIMIT = 4_000_000  # bytes of the demo's page


def test_pages_open_without_faults_and_their_size_and_time_are_told(
    tmp_path: Path, content: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(content.encode()) < LIMIT
    run = write_run(tmp_path / "run", attacks=("mainstay", "hag", "noise"), explored=1000)
    large = report_page(tmp_path, run)
    for name, page in (("demo", folder / "report" / "report.html"), ("1,000 trials", large)):
        seconds = seconds_until_drawn(page, tmp_path)
        with capsys.disabled():
            size = page.stat().st_size / 1e6
            print(f"\n{name}: {size:.1f} MB, drawn after {seconds:.1f} s")
    said = ask(large.read_text(encoding="utf-8"), tmp_path, f"""{DRAWN}
      const form = document.querySelector("form.selection");
      form.elements.status.value = "stopped";
      form.elements.status.dispatchEvent(new Event("change", {{ bubbles: true }}));
      await new Promise((resolve) => setTimeout(resolve, 500));
      return form.querySelector("output").textContent;
    """)  # fmt: skip
    assert said == "416 of 1018 trials, 416 settings"
