"""Clean against robust MAP of the confirmed settings, on test queries."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.confirmed import ConfirmedSetting
from reports.figures.frontier import X_LABEL, Y_LABEL
from reports.figures.reference_lines import (
    ReferenceLines,
    draw_lines_interactive,
    draw_lines_static,
    reference_lines,
)
from reports.figures.style import (
    colour,
    escape,
    legend_below,
    legend_label,
    message_interactive,
    message_static,
    new_interactive,
    new_static,
)
from reports.statistics import Interval
from saat.metrics import OBJECTIVES, Phase

NOTHING_CONFIRMED = "no completed trials on test queries yet"
_SYMBOLS = {
    "recommended": ("o", "circle"),
    "default": ("*", "star"),
    "undefended": ("s", "square"),
    "train": ("D", "diamond"),
}


class ConfirmedPoint(NamedTuple):
    """One setting; MAPs are fractions."""

    label: str
    role: str
    bits: int
    setting: str
    clean: Interval  # over seeds and queries; ends NaN where AP per query is missing
    robust: Interval
    seeds: NDArray[np.float64]  # (S, 2) clean and robust MAP, one row a seed


class ConfirmedData(NamedTuple):
    """Everything that both renderers draw."""

    points: tuple[ConfirmedPoint, ...]
    lines: ReferenceLines


def confirmed_data(settings: Sequence[ConfirmedSetting]) -> ConfirmedData:
    """Means, bands and single seeds of settings that share one protocol."""
    several = len({setting.search for setting in settings}) > 1
    chosen = tuple(
        ConfirmedPoint(
            label=f"{setting.search}: {setting.label}" if several else setting.label,
            role=setting.role,
            bits=setting.bits,
            setting=setting.setting,
            clean=setting.bands["clean_map"],
            robust=setting.bands["robust_map"],
            seeds=np.column_stack([setting.seeds(name) for name in OBJECTIVES]),
        )
        for setting in settings
    )
    return ConfirmedData(chosen, reference_lines([s.trials for s in settings], Phase.TEST))


def confirmed_static(data: ConfirmedData) -> Figure:
    """Draw the confirmed settings with matplotlib."""
    if not data.points:
        return message_static(NOTHING_CONFIRMED)
    figure = new_static(height=5.2)
    axes = figure.add_subplot(xlabel=X_LABEL, ylabel=Y_LABEL)
    draw_lines_static(axes, data.lines)
    for index, point in enumerate(data.points):
        marker, shade = _SYMBOLS.get(point.role, ("o", "circle"))[0], colour(index)
        axes.plot(*(100 * point.seeds.T), marker, color=shade, alpha=0.35, ms=4, mew=0)
        axes.errorbar(
            100 * point.clean.mean,
            100 * point.robust.mean,
            xerr=_bar(point.clean),
            yerr=_bar(point.robust),
            fmt=marker,
            ms=13 if marker == "*" else 8,
            color=shade,
            mec="white",
            capsize=3,
            lw=1.3,
            label=legend_label(point.label),
        )
    legend_below(figure, columns=2)
    return figure


def confirmed_interactive(data: ConfirmedData) -> go.Figure:
    """Draw the confirmed settings with plotly."""
    if not data.points:
        return message_interactive(NOTHING_CONFIRMED)
    figure = new_interactive(X_LABEL, Y_LABEL, height=560)
    for index, point in enumerate(data.points):
        symbol, shade, name = (
            _SYMBOLS.get(point.role, ("o", "circle"))[1],
            colour(index),
            point.label,
        )
        figure.add_scatter(
            x=100 * point.seeds[:, 0],
            y=100 * point.seeds[:, 1],
            mode="markers",
            marker={"symbol": symbol, "size": 6, "color": shade},
            opacity=0.4,
            showlegend=False,
            legendgroup=str(index),
            hovertemplate="one seed<br>clean %{x:.2f} %<br>robust %{y:.2f} %<extra></extra>",
        )
        figure.add_scatter(
            x=[100 * point.clean.mean],
            y=[100 * point.robust.mean],
            error_x=_bar_interactive(point.clean, shade),
            error_y=_bar_interactive(point.robust, shade),
            mode="markers",
            marker={
                "symbol": symbol,
                "size": 17 if symbol == "star" else 12,
                "color": shade,
                "line": {"color": "white", "width": 1},
            },
            name=escape(name),
            legendgroup=str(index),
            text=[escape(f"{name}: {point.setting}" if point.setting else name)],
            hovertemplate="%{text}<br>clean %{x:.2f} %<br>robust %{y:.2f} %<extra></extra>",
        )
    draw_lines_interactive(figure, data.lines)
    return figure


def _bar(interval: Interval) -> list[list[float]]:
    """Distances in percent from the mean down and up; an unknown end draws nothing."""
    down, up = interval.mean - interval.low, interval.high - interval.mean
    return [[0.0 if np.isnan(length) else 100 * length] for length in (down, up)]


def _bar_interactive(interval: Interval, shade: str) -> dict[str, object]:
    (down,), (up,) = _bar(interval)
    return {"array": [up], "arrayminus": [down], "color": shade, "thickness": 1.5, "width": 4}
