"""The content of a chart, which :mod:`.static` draws for print, :mod:`.interactive` for a page.

Values are in the unit of the axis (MAP in percent), sizes and widths in points, lengths in inches.
A mark with a ``label`` has an entry in the legend, even if it has no data. Marks of one ``group``
are shown and hidden together.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Symbol = Literal["circle", "square", "diamond", "star", "thin-x", "x", "triangle"]
Dash = Literal["solid", "dash", "dot", "dashdot"]
NO_VALUES: Values = np.empty(0)


@dataclass(frozen=True, eq=False)
class _Series:
    """Values along both axes, (N,)."""

    x: Values
    y: Values
    colour: str
    label: str = ""
    group: str = ""
    opacity: float = 1.0
    hover: str = ""  # plotly's template of the text over a point; no text if empty
    texts: Sequence[str] = ()  # ``%{text}`` of the template, one a point
    # The setting of each point (`SearchResults.keys_on`), by which a page marks the same
    # setting in other figures and tables.
    keys: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Line(_Series):
    """A line through points; NaN leaves a gap."""

    width: float = 1.6
    dash: Dash = "solid"
    # Whether the value changes before or after a point; without it points are joined directly.
    step: Literal["", "before", "after"] = ""


@dataclass(frozen=True, eq=False)
class Points(_Series):
    """Symbols at points."""

    symbol: Symbol = "circle"
    size: float = 6  # diameter
    is_open: bool = False  # only the outline is drawn
    edge: str = "white"  # colour of the outline; that of the symbol where empty
    # Lengths of error bars, (2, N): to the left and to the right, down and up.
    x_error: Values | None = None
    y_error: Values | None = None


@dataclass(frozen=True, eq=False)
class Area:
    """A faint area between two curves, such as the intervals along a line of the same group."""

    x: Values  # (N,)
    low: Values  # (N,)
    high: Values  # (N,)
    colour: str
    group: str = ""


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars from ``begin`` to ``end`` along x, centred at ``y``; all (N,)."""

    begin: Values
    end: Values
    y: Values
    colour: str
    label: str = ""
    group: str = ""
    opacity: float = 1.0
    height: float = 0.8  # in units of y
    hover: str = ""  # as that of a line
    texts: Sequence[str] = ()
    keys: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Band:
    """A horizontal range across the panel, or a line; its lower end is always in view."""

    low: float
    high: float
    colour: str
    label: str
    dash: Dash = "dash"  # of the line, where both ends are equal


@dataclass(frozen=True, eq=False)
class Cells:
    """A coloured table of numbers from 0 to 100."""

    values: Values  # (R, C); NaN where there is none
    rows: Sequence[str]
    columns: Sequence[str]
    notes: Sequence[Sequence[str]]  # beside the number in its cell, R × C
    details: Sequence[Sequence[str]]  # shown over a cell, R × C


@dataclass(frozen=True, eq=False)
class Bound:
    """A vertical line across the panel, at an end of a searched range."""

    x: float
    colour: str
    label: str


@dataclass(frozen=True, eq=False)
class Letters:
    """Short texts beside points, such as the A and B of recommended settings."""

    x: Values
    y: Values
    texts: Sequence[str]


Mark = Line | Points | Bars | Area | Band | Cells | Bound | Letters


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis of numbers; ``whole`` has ticks at whole numbers only."""

    label: str = ""
    scale: Literal["linear", "log", "whole"] = "linear"
    categories: Sequence[str] = ()  # names of the positions 0, 1, …, in place of numbers
    limits: tuple[float | None, float | None] = (None, None)  # those of the data where None


class Focus(NamedTuple):
    """The part of a panel that is shown first; a page can show the rest, too."""

    x: tuple[float, float]
    y: tuple[float, float]


class Ruler(NamedTuple):
    """What a parallel axis says between its lower end, y = 0, and its upper end, y = 1."""

    label: str
    low: float
    high: float
    is_log: bool = False
    choices: tuple[str, ...] = ()  # evenly spaced, in place of numbers
    unit: str = ""

    def places(self, values: Values) -> Values:
        """Where numbers lie on the axis, ``(N,)``; the middle where both ends are equal."""
        low, high = self.low, self.high
        if self.is_log:
            values, low, high = np.log(values), float(np.log(low)), float(np.log(high))
        if low == high:
            return np.where(np.isnan(values), np.nan, 0.5)
        return np.asarray((values - low) / (high - low), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Panel:
    """Marks between two axes, drawn in their order."""

    marks: Sequence[Mark]
    x: Axis = Axis()
    y: Axis = Axis()
    title: str = ""
    focus: Focus | None = None
    rulers: Sequence[Ruler] = ()  # of parallel axes at x = 0, 1, …


@dataclass(frozen=True, eq=False)
class Chart:
    """Panels of one size beside and below each other."""

    panels: Sequence[Panel]
    width: float = 7.16  # of a panel; the text of a page with two columns
    height: float = 4.6
    legend_columns: int = 3  # of the legend below all panels, in print
    # Text in place of a chart without panels. A report leaves a figure out that has neither.
    nothing: str = ""


NOTHING_COMPLETED = Chart((), nothing="no completed trials yet")


def key(label: str, colour: str, **look: Any) -> Points:
    """A legend entry for a symbol that marks of several colours have."""
    return Points(NO_VALUES, NO_VALUES, colour, label=label, **look)


def percents(found: Sequence[Any], *names: str) -> list[Values]:
    """Attributes of numbers with an interval, each times 100, ``(N,)``."""
    return [100 * np.array([getattr(one, name) for one in found]) for name in names]


def escape(text: str) -> str:
    """Escape text from a file for plotly, which interprets some HTML."""
    return html.escape(text, quote=False)


def focus_on(x: Values, y: Values, margin: float = 0.08) -> Focus | None:
    """The ranges of points with a margin on either side; None where nothing can be shown.

    Points of one value have half a unit on either side.
    """
    if not len(x):
        return None
    ends = [(float(values.min()), float(values.max())) for values in (x, y)]
    if not np.isfinite(ends).all():
        return None
    wide = [margin * (high - low) or 0.5 for low, high in ends]
    ranges = [(low - more, high + more) for (low, high), more in zip(ends, wide, strict=True)]
    return Focus(*ranges)
