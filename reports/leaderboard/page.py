"""The static pages of a leaderboard: one for each protocol, and an index of them.

The same entries give the same bytes. A page needs no other file, and loads nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from reports.leaderboard.board import NOTE, Board
from reports.templating import rendered
from reports.wording import MISSING, duration, points
from saat.bootstrap import Interval


def board_page(board: Board) -> str:
    """The page of one protocol."""
    return _rendered("leaderboard.html.j2", board=board, note=NOTE)


def index_page(boards: Sequence[Board]) -> str:
    """The page that leads to those of all protocols."""
    return _rendered("leaderboard_index.html.j2", boards=boards)


def _rendered(template: str, **values: Any) -> str:
    filters: dict[str, Callable[..., Any]] = {
        "percent": _percent,
        "interval": _interval,
        "duration": duration,
        "difference": _difference,
    }
    return rendered(template, filters, **values)


def _percent(fraction: float) -> str:
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _interval(value: Interval) -> str:
    """Ends of an interval in percent; empty without one."""
    return "" if math.isnan(value.low) else f"{_percent(value.low)}–{_percent(value.high)}"


def _difference(claimed: float, verified: float) -> str:
    """Claimed minus verified, in points."""
    return points(claimed - verified)
