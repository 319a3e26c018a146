"""The page of a leaderboard in a browser: it sorts, fits narrow screens, and opens settings."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.leaderboard.pages import write_pages
from harness.leaderboard.store import add_entries
from tests.harness.leaderboard_entries import entry

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
ENTRIES = [
    entry(0.62, 0.31, "a", name="saat, λ=4.07, μ=1e-05, ε=10.9/255, T=8, 32 bits",
          claimed={"clean_map": 0.71, "robust_map": 0.4}),
    entry(0.66, 0.28, "b", cost__seconds=900.0),
    entry(0.60, 0.20, "c", claimed={"robust_map": 0.1}),
    entry(0.61, 0.45, "d", gates__failed=["scale: no"], gates__unreliable=True),
]  # fmt: skip


def title(page: Path, script: str, tmp_path: Path, width: int, fragment: str = "") -> str:
    """The title that a script gives the page, once the page is loaded at a width."""
    asking = page.with_name("asked.html")
    asked = f"<script>addEventListener('load', () => {{ {script} }});</script></body>"
    asking.write_text(page.read_text(encoding="utf-8").replace("</body>", asked))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += ["--disable-component-update", "--disable-sync", "--no-first-run"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000"]
    options += [f"--window-size={width},900"]
    command = [str(CHROMIUM), *options, "--dump-dom", f"{asking.as_uri()}{fragment}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found
    return found.group(1)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    add_entries(tmp_path / "board", ENTRIES)
    return write_pages(tmp_path / "board")[1]


@pytest.mark.parametrize(
    ("column", "clicks", "order"),
    [
        ("clean MAP", 1, "c d a b"),
        ("clean MAP", 2, "b a d c"),
        ("robust MAP", 1, "c b a d"),
        ("claimed robust", 1, "c a b d"),  # missing ones last
        ("claimed robust", 2, "a c b d"),
        ("time per seed", 2, "b a c d"),
    ],
)
def test_heads_of_columns_sort(
    page: Path, tmp_path: Path, column: str, clicks: int, order: str
) -> None:
    script = f"""
      const head = [...document.querySelectorAll("th button")]
        .find((button) => button.textContent === "{column}");
      for (let i = 0; i < {clicks}; i += 1) head.click();
      const rows = [...document.querySelector("table").tBodies[0].rows];
      const links = rows.map((row) => row.querySelector("a").getAttribute("href").slice(-1));
      document.title = `${{links.join(" ")}} ${{head.closest("th").getAttribute("aria-sort")}}`;
    """
    direction = "ascending" if clicks == 1 else "descending"
    if column == "robust MAP":  # it is sorted by it at first, downwards
        direction = "ascending"
    assert title(page, script, tmp_path, 1280) == f"{order} {direction}"


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_off(page: Path, tmp_path: Path, width: int) -> None:
    # Chromium's window is at least 500 pixels wide. Below that the page has no other rules.
    script = f"""
      document.querySelectorAll("details").forEach((one) => {{ one.open = true; }});
      document.body.style.width = "{width}px";
      const wide = document.querySelector(".wide");
      document.title = `${{document.body.scrollWidth}} ${{wide.scrollWidth - wide.clientWidth}}`;
    """
    assert title(page, script, tmp_path, max(width, 500)) == f"{width} 0"


def test_a_link_opens_its_setting(page: Path, tmp_path: Path) -> None:
    script = """
      setTimeout(() => {
        const open = [...document.querySelectorAll("details")].map((one) => one.open);
        document.title = open.join(" ");
      }, 500);
    """
    assert title(page, script, tmp_path, 1280, f"#{ENTRIES[1].slug}") == "false true false false"
