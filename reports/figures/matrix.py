"""Settings × attacks as a coloured table."""

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.figures.style import (
    escape,
    message_interactive,
    message_static,
    new_interactive,
    new_static,
)
from reports.matrix import MatrixData

NOTHING_MEASURED = "no attacked settings on test queries yet"
NOT_MEASURED = "not measured"
# Sequential and readable with every colour blindness; numbers stand in every cell anyway.
_COLOURS = "cividis"


def matrix_static(data: MatrixData) -> Figure:
    """Draw the matrix with matplotlib."""
    if not data.rows or not data.columns:
        return message_static(NOTHING_MEASURED)
    means = _means(data)
    height = 1.4 + 0.4 * len(data.rows)
    labels = 0.08 * max(map(len, data.rows))
    figure = new_static(width=max(7.2, 1.3 + labels + 0.62 * len(data.columns)), height=height)
    axes = figure.add_subplot()
    image = axes.imshow(means, cmap=_COLOURS, aspect="auto", vmin=0, vmax=100)
    axes.grid(False)
    axes.set_xticks(range(len(data.columns)), data.headers, rotation=40, ha="right")
    axes.set_yticks(range(len(data.rows)), data.rows)
    for (row, column), value in np.ndenumerate(means):
        shade = "black" if value > 55 else "white"
        text = "–" if np.isnan(value) else f"{value:.1f}{_fewer(data, row, column)}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8,
                  color="#666666" if np.isnan(value) else shade)  # fmt: skip
    figure.colorbar(image, ax=axes, label="%", fraction=0.03)
    return figure


def matrix_interactive(data: MatrixData) -> go.Figure:
    """Draw the matrix with plotly."""
    if not data.rows or not data.columns:
        return message_interactive(NOTHING_MEASURED)
    means = _means(data)
    figure = new_interactive("", "", height=130 + 34 * len(data.rows))
    figure.add_heatmap(
        z=means,
        x=[escape(name) for name in data.headers],
        y=[escape(name) for name in data.rows],
        zmin=0,
        zmax=100,
        colorscale=_COLOURS,
        text=[
            [
                NOT_MEASURED
                if np.isnan(value)
                else f"{value:.1f}{_fewer(data, row, column, '<br>')}"
                for column, value in enumerate(values)
            ]
            for row, values in enumerate(means)
        ],
        texttemplate="%{text}",
        customdata=[[_interval(cell.low, cell.high) for cell in row] for row in data.cells],
        hovertemplate="%{y}<br>%{x}: %{text} %{customdata}<extra></extra>",
        colorbar={"title": {"text": "%"}},
    )
    figure.update_layout(yaxis={"autorange": "reversed"})
    return figure


def _fewer(data: MatrixData, row: int, column: int, newline: str = "\n") -> str:
    """The number of seeds of a cell that has fewer than its row."""
    seeds = data.cells[row][column].seeds
    return f"{newline}n = {seeds}" if 0 < seeds < data.seeds[row] else ""


def _means(data: MatrixData) -> NDArray[np.float64]:
    """``(rows, columns)`` in percent."""
    cells = [[100 * cell.mean for cell in row] for row in data.cells]
    return np.array(cells, dtype=np.float64)


def _interval(low: float, high: float) -> str:
    return "" if np.isnan(low) else f"[{100 * low:.1f}, {100 * high:.1f}]"
