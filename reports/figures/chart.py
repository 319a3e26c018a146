"""What a chart shows; :mod:`.static` draws it for print, :mod:`.interactive` for the page.

Values are in the unit of the axis (MAP in percent). Sizes and widths are in points, lengths in
inches. A mark with a ``label`` has an entry in the legend, also where it has no data; marks of one
``group`` are shown and hidden together.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Symbol = Literal["circle", "square", "diamond", "star", "thin-x", "x", "triangle"]
Dash = Literal["solid", "dash", "dot", "dashdot"]
NO_VALUES: Values = np.empty(0)
NOTHING_YET = "no completed trials yet"


@dataclass(frozen=True, eq=False)
class _Series:
    """Values along both axes, (N,).

    Attributes:
        hover: plotly's template of what is shown over a point; none where empty.
    """

    x: Values
    y: Values
    colour: str
    label: str = ""
    group: str = ""
    opacity: float = 1.0
    hover: str = ""


@dataclass(frozen=True, eq=False)
class Line(_Series):
    """A line through points; NaN leaves a gap.

    Attributes:
        step: the value changes ``before`` a point, so that the line comes from the side, or
            ``after`` it; without it points are joined directly.
    """

    width: float = 1.6
    dash: Dash = "solid"
    step: Literal["", "before", "after"] = ""


@dataclass(frozen=True, eq=False)
class Points(_Series):
    """Symbols at points.

    Attributes:
        size: diameter.
        is_open: outline alone.
        edge: colour of the outline; that of the symbol where empty.
        texts: ``%{text}`` of the template, one a point.
        x_error: lengths of the error bar to the left and to the right, (2, N).
        y_error: lengths down and up, (2, N).
    """

    symbol: Symbol = "circle"
    size: float = 6
    is_open: bool = False
    edge: str = "white"
    texts: Sequence[str] = ()
    x_error: Values | None = None
    y_error: Values | None = None


@dataclass(frozen=True, eq=False)
class Level:
    """A horizontal line across the panel, always in view."""

    y: float
    colour: str
    label: str
    dash: Dash = "dash"


@dataclass(frozen=True, eq=False)
class Band:
    """A horizontal range across the panel; its lower end is always in view."""

    low: float
    high: float
    colour: str
    label: str


@dataclass(frozen=True, eq=False)
class Cells:
    """A coloured table of numbers from 0 to 100.

    Attributes:
        values: (R, C); NaN where there is none.
        notes: beside the number in its cell, R × C.
        details: shown over a cell, R × C.
    """

    values: Values
    rows: Sequence[str]
    columns: Sequence[str]
    notes: Sequence[Sequence[str]]
    details: Sequence[Sequence[str]]


Mark = Line | Points | Level | Band | Cells


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis.

    Attributes:
        scale: of numbers; ``whole`` has ticks at whole numbers alone.
        categories: names of the positions 0, 1, …, in place of numbers.
        limits: lower and upper end; those of the data where None.
    """

    label: str = ""
    scale: Literal["linear", "log", "whole"] = "linear"
    categories: Sequence[str] = ()
    limits: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True, eq=False)
class Panel:
    """Marks between two axes, drawn in their order."""

    marks: Sequence[Mark]
    x: Axis = Axis()
    y: Axis = Axis()
    title: str = ""


@dataclass(frozen=True, eq=False)
class Chart:
    """Panels of one size beside and below each other.

    Attributes:
        panels: none where there is nothing to draw.
        width: of a panel.
        height: of a panel.
        legend_columns: of the legend below all panels, in print.
        nothing: what is said where there is no panel.
    """

    panels: Sequence[Panel]
    width: float = 7.2
    height: float = 4.6
    legend_columns: int = 3
    nothing: str = NOTHING_YET


def key(label: str, colour: str, **look: Any) -> Points:
    """An entry of the legend for symbols that stand in marks of several colours."""
    return Points(NO_VALUES, NO_VALUES, colour, label=label, **look)


def escape(text: str) -> str:
    """Text from a file for plotly, which reads a small HTML."""
    return html.escape(text, quote=False)
