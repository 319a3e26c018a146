"""The static pages of a leaderboard: one for each protocol, and an index of them.

The same entries give the same bytes. A page needs no other file, and loads nothing.
"""

import math
from collections.abc import Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from reports.leaderboard.board import NOTE, Board
from reports.wording import MISSING, duration, points
from saat.bootstrap import Interval
from saat.errors import printable


def board_page(board: Board) -> str:
    """The page of one protocol."""
    return _rendered("leaderboard.html.j2", board=board, note=NOTE)


def index_page(boards: Sequence[Board]) -> str:
    """The page that leads to those of all protocols."""
    return _rendered("leaderboard_index.html.j2", boards=boards)


def _rendered(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "percent": _percent,
        "interval": _interval,
        "duration": duration,
        "difference": _difference,
    }
    return environment.get_template(template).render(**values)


def _visible(value: object) -> object:
    """Text without the control characters that reverse or hide the text beside them."""
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return "\n".join(map(printable, str(value).split("\n"))) if is_text else value


def _percent(fraction: float) -> str:
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _interval(value: Interval) -> str:
    """Ends of an interval in percent; empty without one."""
    return "" if math.isnan(value.low) else f"{_percent(value.low)}–{_percent(value.high)}"


def _difference(claimed: float, verified: float) -> str:
    """Claimed minus verified, in points."""
    return points(claimed - verified)
