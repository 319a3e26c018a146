"""Charts as plotly's JSON, one figure per panel; the page's script sets colours.

A table of coloured cells is no plot: :mod:`.heat_table` makes text of it. Figures are plain
mappings, which plotly's own classes check in tests: those take most of a page's time to build.
"""

import textwrap
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from reports.figures.chart import (
    Area,
    Axis,
    Band,
    Bars,
    Bound,
    Chart,
    Letters,
    Line,
    Panel,
    Points,
    escape,
)
from reports.figures.style import NEUTRAL, PALETTE

_PIXELS = 4 / 3  # CSS pixels a point
_PIXELS_OF_INCH = 108
_SYMBOLS = {"thin-x": "x-thin", "triangle": "triangle-down"}
_STEPS = {"": "linear", "before": "vh", "after": "hv"}
_LINE = 60  # characters of a line over a point
_AXIS = {
    "gridcolor": "rgba(127,127,127,0.22)",
    "zeroline": False,
    "linecolor": "rgba(127,127,127,0.7)",
    "ticks": "outside",
    "ticklen": 4,
    "tickcolor": "rgba(127,127,127,0.7)",
    "automargin": True,
}

Plot = dict[str, Any]  # a figure: its ``data`` (traces) and ``layout``
Trace = dict[str, Any]


def draw(chart: Chart) -> list[Plot]:
    """The panels of a chart as plotly figures; without panels, one figure that says why."""
    if chart.panels:
        return [_panel(panel, round(_PIXELS_OF_INCH * chart.height)) for panel in chart.panels]
    layout = _layout(Panel(()), 160)
    for axis in ("xaxis", "yaxis"):
        layout[axis]["visible"] = False
    reason: dict[str, Any] = {"text": escape(chart.nothing), "font": {"size": 15}}
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    return [{"data": [], "layout": layout | {"annotations": [reason | place]}}]


def _panel(panel: Panel, height: int) -> Plot:
    layout = _layout(panel, height)
    traces: list[Trace] = []
    shapes: list[dict[str, Any]] = []
    in_legend: set[str] = set()
    always_seen = []
    for mark in panel.marks:
        match mark:
            case Line() | Points():
                if mark.label and mark.label not in in_legend:
                    in_legend.add(mark.label)
                    # A trace of its own, because plotly lists none without points.
                    nowhere = {"x": [None], "y": [None], "name": escape(mark.label)}
                    traces.append(_look(mark) | nowhere)
                if len(mark.x):
                    traces.append(_trace(mark))
            case Area():
                traces.append(_area(mark))
            case Bars():
                traces.append(_bars(mark, mark.label not in in_legend))
                in_legend.add(mark.label)
            case Band():
                shapes.append(_band(mark))
                always_seen.append(mark.low - 1)
            case Bound():
                line = {"color": mark.colour, "dash": "dot", "width": 1.4}
                across = {"type": "line", "yref": "y domain", "y0": 0, "y1": 1}
                shapes.append(across | {"xref": "x", "x0": mark.x, "x1": mark.x, "line": line})
                if mark.label not in in_legend:
                    in_legend.add(mark.label)
                    entry = {"x": [None], "y": [None], "mode": "lines", "line": line}
                    traces.append({"type": "scatter", **entry, "name": escape(mark.label)})
            case Letters():
                traces.append(_letters(mark))
    if shapes:
        layout["shapes"] = shapes
    if always_seen:  # lines do not widen an axis by themselves
        layout["yaxis"]["autorangeoptions"] = {"include": always_seen}
    if panel.rulers:
        # The page selects settings by ranges of these axes.
        rulers = [ruler._asdict() for ruler in panel.rulers]
        layout |= {"meta": {"rulers": rulers}, "dragmode": "select"}
    if panel.focus:
        # The page's switch turns these ranges off and on.
        ranges = {"xaxis": list(panel.focus.x), "yaxis": list(panel.focus.y)}
        layout["meta"] = layout.get("meta", {}) | {"focus": ranges}
        for axis, limits in ranges.items():
            layout[axis]["range"] = limits
    return {"data": traces, "layout": layout}


def _band(mark: Band) -> dict[str, Any]:
    """A line across the panel, or an area between two of them, which the legend lists."""
    across = {"xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": mark.low, "y1": mark.high}
    across |= {"name": escape(mark.label), "showlegend": True}
    if mark.low == mark.high:
        line = {"color": mark.colour, "dash": mark.dash, "width": 1.6}
        return across | {"type": "line", "line": line}
    look = {"fillcolor": mark.colour, "opacity": 0.3, "line": {"width": 0}}
    return across | {"type": "rect", **look}


def _trace(mark: Line | Points) -> Trace:
    extra = _over(mark)
    if isinstance(mark, Points):
        for side, lengths in (("error_x", mark.x_error), ("error_y", mark.y_error)):
            if lengths is not None:
                extra[side] = {"arrayminus": lengths[0], "array": lengths[1], "thickness": 1.5}
                extra[side] |= {"color": mark.colour, "width": 4}
    return _look(mark) | {"x": mark.x, "y": mark.y, "showlegend": False} | extra


def _area(mark: Area) -> Trace:
    red, green, blue = (round(255 * part) for part in to_rgb(mark.colour))
    return {
        "type": "scatter",
        "x": np.concatenate([mark.x, mark.x[::-1]]),
        "y": np.concatenate([mark.high, mark.low[::-1]]),
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": f"rgba({red},{green},{blue},0.18)",
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": escape(mark.group),
    }


def _over(mark: Line | Points | Bars) -> dict[str, Any]:
    """What is shown over the points of a mark, and which settings they are."""
    extra: dict[str, Any] = {"hovertemplate": mark.hover} if mark.hover else {"hoverinfo": "skip"}
    if mark.texts:
        extra["text"] = [_lines(text) for text in mark.texts]
    if mark.keys:
        extra["customdata"] = list(mark.keys)
    return extra


def _lines(text: str) -> str:
    """Escaped text in lines; plotly would draw a long setting past the edge of the page."""
    lines = textwrap.wrap(text, _LINE, break_long_words=False, break_on_hyphens=False)
    return "<br>".join(map(escape, lines))


def _bars(mark: Bars, in_legend: bool) -> Trace:
    values: Trace = {"base": mark.begin, "x": mark.end - mark.begin, "y": mark.y}
    if not len(mark.y):  # an entry of the legend, which plotly lists only with a bar
        values = {"x": [None], "y": [None]}
    look = {
        "type": "bar",
        "width": mark.height,
        "orientation": "h",
        "textposition": "none",  # texts are shown over a bar, not in it
        # A thin edge tells a bar from the next one, which may begin where it ends.
        "marker": {"color": mark.colour, "line": {"width": 0.5, "color": "white"}},
        "opacity": mark.opacity,
        "name": escape(mark.label),
        "legendgroup": escape(mark.group or mark.label),
        "showlegend": bool(mark.label) and in_legend,
    }
    return look | values | _over(mark)


def _letters(mark: Letters) -> Trace:
    texts = [f"<b>{escape(text)}</b>" for text in mark.texts]
    look = {"mode": "text", "textposition": "top right", "textfont": {"size": 17}}
    hidden = {"hoverinfo": "skip", "showlegend": False, "cliponaxis": False}
    return {"type": "scatter", "x": mark.x, "y": mark.y, "text": texts} | look | hidden


def _look(mark: Line | Points) -> Trace:
    group = escape(mark.group or mark.label)
    look: Trace = {"type": "scatter", "opacity": mark.opacity, "legendgroup": group}
    if isinstance(mark, Line):
        line = {"color": mark.colour, "dash": mark.dash, "shape": _STEPS[mark.step]}
        return look | {"mode": "lines", "line": line | {"width": _PIXELS * mark.width}}
    symbol = _SYMBOLS.get(mark.symbol, mark.symbol) + ("-open" if mark.is_open else "")
    outlined = mark.is_open or mark.symbol == "thin-x"
    edge = mark.colour if outlined else mark.edge or mark.colour
    outline = {"color": edge, "width": 1.6 if outlined else 0.8}
    marker = {"color": mark.colour, "symbol": symbol, "size": 1.5 * mark.size, "line": outline}
    return look | {"mode": "markers", "marker": marker}


def _layout(panel: Panel, height: int) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13},
        "margin": {"l": 56, "r": 12, "t": 36 if panel.title else 12, "b": 48},
        "hovermode": "closest",
        "barmode": "overlay",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL, "activecolor": PALETTE[0]},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        "xaxis": _axis(panel.x),
        "yaxis": _axis(panel.y),
    }
    if panel.title:
        title = {"text": escape(panel.title), "font": {"size": 14}, "x": 0.02, "xanchor": "left"}
        layout["title"] = title
    return layout


def _axis(axis: Axis) -> dict[str, Any]:
    out: dict[str, Any] = {**_AXIS, "title": {"text": escape(axis.label)}}
    if axis.categories:
        out["tickvals"] = list(range(len(axis.categories)))
        out["ticktext"] = [escape(name).replace("\n", "<br>") for name in axis.categories]
    elif axis.scale == "log":
        out |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    elif axis.scale == "whole":
        out["tickformat"] = "d"
    if axis.limits != (None, None):
        out["range"] = list(axis.limits)
    return out
