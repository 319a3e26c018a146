"""Robust MAP on validation queries over the epochs of every explore trial."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.explored import bit_lengths, bits_label
from reports.figures.style import (
    NEUTRAL,
    colour,
    escape,
    legend_below,
    message_interactive,
    message_static,
    new_interactive,
    new_static,
)
from reports.results import SearchResults
from reports.wording import describe_setting

X_LABEL, Y_LABEL = "minimax epoch", "robust MAP, validation, short attack (%)"
NOTHING_TRAINED = "no finished epochs yet"
_ENDS = {"stopped": ("X", "x", "stopped early"), "failed": ("v", "triangle-down", "failed")}
_METRIC = "metric.val/robust_map"


class Curve(NamedTuple):
    """One trial."""

    trial_id: str
    setting: str
    series: int  # index of its code length
    is_default: bool
    status: str
    epochs: NDArray[np.float64]  # (E,) from 1
    robust_map: NDArray[np.float64]  # (E,) fraction


class LearningCurvesData(NamedTuple):
    """Everything that both renderers draw."""

    labels: tuple[str, ...]  # code lengths
    curves: tuple[Curve, ...]


def learning_curves_data(results: SearchResults) -> LearningCurvesData:
    """Validation curves of explore trials; epochs without a value are left out."""
    explore = results.explore
    bits = bit_lengths(explore)
    lengths = sorted(set(bits))
    measured = results.epochs[results.epochs[_METRIC].notna()].sort_values("epoch")
    by_trial = {str(trial_id): rows for trial_id, rows in measured.groupby("trial_id")}
    curves = [
        Curve(
            trial_id=row["trial_id"],
            setting=describe_setting(row, results.space),
            series=lengths.index(length),
            is_default=row["role"] == "default",
            status=row["status"],
            epochs=by_trial[row["trial_id"]]["epoch"].to_numpy(dtype=np.float64),
            robust_map=by_trial[row["trial_id"]][_METRIC].to_numpy(dtype=np.float64),
        )
        for row, length in zip(explore.to_dict("records"), bits, strict=True)
        if row["trial_id"] in by_trial
    ]
    return LearningCurvesData(tuple(bits_label(length) for length in lengths), tuple(curves))


def learning_curves_static(data: LearningCurvesData) -> Figure:
    """Draw the curves with matplotlib."""
    if not data.curves:
        return message_static(NOTHING_TRAINED)
    figure = new_static(height=4.2)
    axes = figure.add_subplot(xlabel=X_LABEL, ylabel=Y_LABEL)
    for curve in data.curves:
        shade = colour(curve.series)
        y = 100 * curve.robust_map
        width, alpha = (2.6, 1.0) if curve.is_default else (1.2, 0.7)
        axes.plot(curve.epochs, y, "-", color=shade, lw=width, alpha=alpha)
        axes.plot(curve.epochs, y, ".", color=shade, ms=4, alpha=alpha)
        if curve.status in _ENDS:
            axes.plot(
                curve.epochs[-1], y[-1], _ENDS[curve.status][0], color=shade, ms=8, mec="white"
            )
    for index, label in enumerate(data.labels):
        axes.plot([], [], "-", color=colour(index), label=label)
    if any(curve.is_default for curve in data.curves):
        axes.plot([], [], "-", color=NEUTRAL, lw=2.6, label="paper's default (thick)")
    for status, (marker, _, label) in _ENDS.items():
        if any(curve.status == status for curve in data.curves):
            axes.plot([], [], marker, color=NEUTRAL, mec="white", ms=8, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, columns=5)
    return figure


def learning_curves_interactive(data: LearningCurvesData) -> go.Figure:
    """Draw the curves with plotly."""
    if not data.curves:
        return message_interactive(NOTHING_TRAINED)
    figure = new_interactive(X_LABEL, Y_LABEL, height=460)
    for curve in data.curves:
        shade = colour(curve.series)
        symbols, sizes = ["circle"] * len(curve.epochs), [4] * len(curve.epochs)
        if curve.status in _ENDS:
            symbols[-1], sizes[-1] = _ENDS[curve.status][1], 10
        figure.add_scatter(
            x=curve.epochs,
            y=100 * curve.robust_map,
            mode="lines+markers",
            line={"color": shade, "width": 3.2 if curve.is_default else 1.4},
            marker={"symbol": symbols, "size": sizes},
            opacity=1.0 if curve.is_default else 0.75,
            showlegend=False,
            legendgroup=data.labels[curve.series],
            text=[escape(f"{curve.trial_id} ({curve.status}): {curve.setting}")]
            * len(curve.epochs),
            hovertemplate="%{text}<br>epoch %{x}<br>robust %{y:.2f} %<extra></extra>",
        )
    for index, label in enumerate(data.labels):
        line = {"color": colour(index), "width": 2}
        figure.add_scatter(
            x=[None], y=[None], mode="lines", line=line, name=label, legendgroup=label
        )
    if any(curve.is_default for curve in data.curves):
        line = {"color": NEUTRAL, "width": 4}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name="paper's default")
    for status, (_, symbol, label) in _ENDS.items():
        if any(curve.status == status for curve in data.curves):
            marker = {"symbol": symbol, "size": 10, "color": NEUTRAL}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=label)
    figure.update_xaxes(tickformat="d")
    return figure
