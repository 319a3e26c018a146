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
from reports.metric_columns import column_of
from reports.results import SearchResults, metric_column
from reports.wording import describe_setting
from saat.metrics import Phase

_SHOWN = "robust_map"
X_LABEL, Y_LABEL = "minimax epoch", f"{column_of(_SHOWN).label}, validation, short attack (%)"
NOTHING_TRAINED = "no finished epochs yet"
_ENDS = {"stopped": ("X", "x", "stopped early"), "failed": ("v", "triangle-down", "failed")}
_METRIC = metric_column(Phase.VALIDATION, _SHOWN)


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


class _Look(NamedTuple):
    """What curves that are drawn as one line share."""

    is_default: bool
    series: int


def _by_look(data: LearningCurvesData) -> list[tuple[_Look, list[Curve]]]:
    """Curves by look, the default's last, above the others.

    A line for each of a thousand trials would take a browser seconds to draw.
    """
    looks = sorted({_Look(curve.is_default, curve.series) for curve in data.curves})
    return [(look, [c for c in data.curves if (c.is_default, c.series) == look]) for look in looks]


def _joined(curves: list[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs and percents of all curves, a gap after each."""
    x, y = (
        np.concatenate([np.append(part, np.nan) for part in parts])
        for parts in ([c.epochs for c in curves], [100 * c.robust_map for c in curves])
    )
    return x, y


def _points_of(curves: list[Curve]) -> tuple[list[str], list[int], list[str]]:
    """Symbol, size and hover text of every point of joined curves."""
    symbols: list[str] = []
    sizes: list[int] = []
    texts: list[str] = []
    for curve in curves:
        last = (_ENDS[curve.status][1], 10) if curve.status in _ENDS else ("circle", 4)
        before = len(curve.epochs) - 1
        symbols += ["circle"] * before + [last[0], "circle"]
        sizes += [4] * before + [last[1], 4]
        texts += [escape(f"{curve.trial_id} ({curve.status}): {curve.setting}")] * (before + 2)
    return symbols, sizes, texts


def learning_curves_static(data: LearningCurvesData) -> Figure:
    """Draw the curves with matplotlib."""
    if not data.curves:
        return message_static(NOTHING_TRAINED)
    figure = new_static(height=4.2)
    axes = figure.add_subplot(xlabel=X_LABEL, ylabel=Y_LABEL)
    for look, curves in _by_look(data):
        shade, (x, y) = colour(look.series), _joined(curves)
        width, alpha = (2.6, 1.0) if look.is_default else (1.2, 0.7)
        axes.plot(x, y, "-", color=shade, lw=width, alpha=alpha)
        axes.plot(x, y, ".", color=shade, ms=4, alpha=alpha)
        for status, (marker, _, _) in _ENDS.items():
            ends = [curve for curve in curves if curve.status == status]
            last = [100 * curve.robust_map[-1] for curve in ends]
            at = [curve.epochs[-1] for curve in ends]
            axes.plot(at, last, marker, color=shade, ms=8, mec="white")
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
    for look, curves in _by_look(data):
        x, y = _joined(curves)
        symbols, sizes, texts = _points_of(curves)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": colour(look.series), "width": 3.2 if look.is_default else 1.4},
            marker={"symbol": symbols, "size": sizes},
            opacity=1.0 if look.is_default else 0.75,
            showlegend=False,
            legendgroup=data.labels[look.series],
            text=texts,
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
