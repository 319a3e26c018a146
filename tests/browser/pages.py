"""The page of a finished run in a browser, and what is asked of it there."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reports.html import write_report
from reports.results import load_search
from tests.browser.devtools import Tab, chromium
from tests.reports.pictures import left_empty
from tests.reports.synthetic import write_run

WIDE, NARROW = 1280, 400  # CSS pixels
HEIGHT = 900
Look = Callable[..., Any]  # (body, width) → what the body of a function returns in the page
# Plots are drawn when they come near the window, and all of them before the page is printed.
IS_DRAWN = 'document.body?.dataset.drawn === "yes"'
DRAWN = 'window.dispatchEvent(new Event("beforeprint"));'


def report_page(folder: Path, run: Path | None = None) -> Path:
    """The report of a run, by default of one with three attacks; its files for print are empty."""
    run = run or write_run(folder / "run", attacks=("mainstay", "hag", "noise"))
    with left_empty():  # no browser draws them
        return write_report([load_search(run)], folder / "report")


@contextmanager
def opened(content: str, folder: Path, width: int = WIDE) -> Iterator[Tab]:
    """A tab with a drawn page that is ``width`` pixels wide.

    Raises:
        AssertionError: the page was not drawn, or something of it failed or wrote an error.
    """
    page = folder / "page.html"
    page.write_text(content, encoding="utf-8")
    with chromium(folder / "profile", WIDE, HEIGHT) as tab:
        # A window of Chromium is no narrower than 500 pixels.
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        tab.send("Emulation.setDeviceMetricsOverride", **size)
        tab.open(page.as_uri())
        tab.wait(f"location.protocol === 'file:' && {IS_DRAWN}")
        yield tab
        assert tab.problems == []


def ask(content: str, folder: Path, body: str, width: int = WIDE) -> Any:
    """Open a page, and return what the body of an asynchronous function returns in it.

    Raises:
        AssertionError: see :func:`opened`.
    """
    with opened(content, folder, width) as tab:
        return tab.run(body)


def seconds_until_drawn(page: Path, folder: Path) -> float:
    """Seconds from the start of the navigation until the first screen is drawn.

    Raises:
        AssertionError: see :func:`opened`.
    """
    with chromium(folder / "profile", WIDE, HEIGHT) as tab:
        watch = f"""const timer = setInterval(() => {{
          if (!({IS_DRAWN})) return;
          clearInterval(timer);
          window.drawnAfter = performance.now();
        }}, 20);"""
        tab.send("Page.addScriptToEvaluateOnNewDocument", source=watch)
        tab.open(page.as_uri())
        milliseconds = tab.wait("window.drawnAfter")
        assert tab.problems == []
    return float(milliseconds) / 1000


def axe() -> str:
    """The script of axe-core, which a development package ships; empty where it is absent."""
    found = importlib.util.find_spec("axe_playwright_python")  # nothing of it is imported
    if found is None or found.origin is None:
        return ""
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def looking_at(content: str, folder: Path) -> Look:
    """A function that opens a page and asks it."""
    return lambda body, width=WIDE: ask(content, folder, body, width)
