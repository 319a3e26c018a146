"""The page of a finished run, for tests that look at it in a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from reports.html import write_report
from reports.results import load_search
from tests.browser.chromium import WIDE, ask
from tests.reports.synthetic import write_run

Look = Callable[..., Any]  # (body, width) → what the body of a function returns in the page
# Plots are drawn when they come near the window, and all of them before the page is printed.
DRAWN = 'window.dispatchEvent(new Event("beforeprint"));'


def report_page(folder: Path, run: Path | None = None) -> Path:
    """The report of a run, by default of one with three attacks; its files for print are empty."""
    run = run or write_run(folder / "run", attacks=("mainstay", "hag", "noise"))
    with pytest.MonkeyPatch.context() as patch:
        # They take most of the time, and no browser draws them.
        patch.setattr(Figure, "draw_without_rendering", lambda _self: None)
        patch.setattr(Figure, "savefig", lambda _self, file, **_options: None)
        return write_report([load_search(run)], folder / "report")


def looking_at(content: str, folder: Path) -> Look:
    """A function that opens a page and asks it."""
    return lambda body, width=WIDE: ask(content, folder, body, width)
