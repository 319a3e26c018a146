"""Clean against robust MAP of all explored trials, on validation queries."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reports.explored import (
    VALIDATED,
    bit_lengths,
    bits_label,
    chance_levels,
    completed_trials,
    feasible,
    on_front,
    points_of,
    stopped_trials,
)
from reports.figures.reference_lines import (
    ReferenceLines,
    draw_lines_interactive,
    draw_lines_static,
    reference_lines,
)
from reports.figures.style import (
    NEUTRAL,
    colour,
    escape,
    legend_below,
    legend_label,
    message_interactive,
    message_static,
    new_interactive,
    new_static,
)
from reports.frontier import pareto_mask
from reports.metric_columns import axis_label
from reports.results import SearchResults
from reports.wording import describe_setting
from saat.metrics import OBJECTIVES, Phase

X_LABEL, Y_LABEL = map(axis_label, OBJECTIVES)
STOPPED_LABEL = "stopped early (last val/* values, short attack)"
UNION_LABEL = "front over all series"
INFEASIBLE_LABEL = "violates a constraint"
COLLAPSED_LABEL = "clean MAP at chance: on no front"
POWERLESS_LABEL = "robust MAP at chance: not recommended"


class FrontierSeries(NamedTuple):
    """Trials of one search and code length; MAPs are fractions."""

    label: str
    points: NDArray[np.float64]  # (n, 2) clean and robust MAP of completed trials
    on_front: NDArray[np.bool_]  # (n,)
    feasible: NDArray[np.bool_]  # (n,) keeps the constraints of its experiment
    at_chance: NDArray[np.bool_]  # (n, 2) clean and robust MAP are not above chance
    is_default: NDArray[np.bool_]  # (n,)
    texts: tuple[str, ...]  # n, trial and setting
    stopped: NDArray[np.float64]  # (m, 2) last validation values of stopped trials
    stopped_texts: tuple[str, ...]  # m


class FrontierData(NamedTuple):
    """Everything that both renderers draw."""

    series: tuple[FrontierSeries, ...]
    union: NDArray[np.float64]  # (k, 2) front over all series, by increasing clean MAP
    lines: ReferenceLines


def frontier_data(searches: Sequence[SearchResults]) -> FrontierData:
    """Completed and stopped explore trials of searches that share one protocol."""
    series = tuple(one for results in searches for one in _series(results, len(searches) > 1))
    fronts = [one.points[one.on_front] for one in series]
    everything = np.concatenate(fronts or [np.empty((0, 2))])
    completed = [completed_trials(results) for results in searches]
    return FrontierData(
        series, _sorted_front(everything), reference_lines(completed, Phase.REATTACK)
    )


def _series(results: SearchResults, several: bool) -> Iterator[FrontierSeries]:
    completed, stopped = completed_trials(results), stopped_trials(results)
    bits, stopped_bits = bit_lengths(completed), bit_lengths(stopped)
    for value in sorted({*bits, *stopped_bits}):
        mine, theirs = completed[bits == value], stopped[stopped_bits == value]
        label = bits_label(value)
        yield FrontierSeries(
            label=f"{results.name}: {label}" if several else label,
            points=points_of(mine),
            on_front=on_front(results, mine),
            feasible=feasible(results, mine),
            at_chance=chance_levels(mine),
            is_default=(mine["role"] == "default").to_numpy(dtype=bool),
            texts=_texts(mine, results),
            stopped=theirs[VALIDATED].to_numpy(np.float64),
            stopped_texts=_texts(theirs, results),
        )


def _texts(frame: pd.DataFrame, results: SearchResults) -> tuple[str, ...]:
    return tuple(
        f"{row['trial_id']}: {describe_setting(row, results.space)}"
        for row in frame.to_dict("records")
    )


def _sorted_front(points: NDArray[np.float64]) -> NDArray[np.float64]:
    front = np.unique(points[pareto_mask(points)], axis=0)
    return front[np.argsort(front[:, 0], kind="stable")]


def frontier_static(data: FrontierData) -> Figure:
    """Draw the frontier with matplotlib."""
    if not any(len(one.points) or len(one.stopped) for one in data.series):
        return message_static()
    figure = new_static(height=5.2)
    axes = figure.add_subplot(xlabel=X_LABEL, ylabel=Y_LABEL)
    draw_lines_static(axes, data.lines)
    if len(data.series) > 1 and len(data.union):
        # Step "pre": what is reached at a clean MAP is the robust MAP of the next point.
        axes.plot(
            *(100 * data.union.T),
            drawstyle="steps-pre",
            color=NEUTRAL,
            lw=5,
            alpha=0.3,
            label=UNION_LABEL,
        )
    for index, one in enumerate(data.series):
        shade = colour(index)
        front = 100 * _sorted_front(one.points[one.on_front])
        axes.plot(*front.T, drawstyle="steps-pre", color=shade, lw=1.6)
        kept, broken = 100 * one.points[one.feasible].T, 100 * one.points[~one.feasible].T
        axes.plot(*kept, "o", color=shade, ms=6, mec="white", label=legend_label(one.label))
        axes.plot(*broken, "o", mfc="none", mec=shade, ms=6)
        axes.plot(*(100 * one.stopped.T), "x", color=shade, alpha=0.45, ms=5)
        for mine, fill in ((one.feasible, shade), (~one.feasible, "white")):
            stars = 100 * one.points[one.is_default & mine].T
            axes.plot(*stars, "*", color=fill, ms=15, mec="black", mew=0.8)
        for _, mine, marker, _ in _chance_marks(one):
            axes.plot(*(100 * one.points[mine].T), marker, mfc="none", mec="#444444", ms=11)
    if any(len(one.stopped) for one in data.series):
        axes.plot([], [], "x", color=NEUTRAL, ms=5, label=STOPPED_LABEL)
    if any((~one.feasible).any() for one in data.series):
        axes.plot([], [], "o", mfc="none", mec=NEUTRAL, ms=6, label=INFEASIBLE_LABEL)
    for label, _, marker, _ in _shown_marks(data):
        axes.plot([], [], marker, mfc="none", mec="#444444", ms=9, label=label)
    if any(one.is_default.any() for one in data.series):
        axes.plot([], [], "*", color="white", mec="black", ms=12, label="paper's default")
    legend_below(figure, columns=2)
    return figure


class _ChanceMark(NamedTuple):
    """A frame around points whose numbers are at chance."""

    label: str
    points: NDArray[np.bool_]  # (n,)
    marker: str  # of matplotlib
    symbol: str  # of plotly


def _chance_marks(one: FrontierSeries) -> tuple[_ChanceMark, _ChanceMark]:
    clean, robust = one.at_chance.T
    return (
        _ChanceMark(COLLAPSED_LABEL, clean, "s", "square-open"),
        _ChanceMark(POWERLESS_LABEL, robust & ~clean, "D", "diamond-open"),
    )


def _shown_marks(data: FrontierData) -> list[_ChanceMark]:
    """The marks that some point has, once each."""
    marks = [mark for one in data.series for mark in _chance_marks(one) if mark.points.any()]
    return list({mark.label: mark for mark in marks}.values())


def frontier_interactive(data: FrontierData) -> go.Figure:
    """Draw the frontier with plotly."""
    if not any(len(one.points) or len(one.stopped) for one in data.series):
        return message_interactive()
    figure = new_interactive(X_LABEL, Y_LABEL, height=560)
    if len(data.series) > 1 and len(data.union):
        figure.add_scatter(
            x=100 * data.union[:, 0],
            y=100 * data.union[:, 1],
            mode="lines",
            line_shape="vh",
            line={"color": NEUTRAL, "width": 7},
            opacity=0.35,
            name=UNION_LABEL,
            hoverinfo="skip",
        )
    for index, one in enumerate(data.series):
        _add_series(figure, one, colour(index), escape(one.label))
    for name, symbol, present in (
        (STOPPED_LABEL, "x-thin", any(len(one.stopped) for one in data.series)),
        (INFEASIBLE_LABEL, "circle-open", any((~one.feasible).any() for one in data.series)),
        ("paper's default", "star", any(one.is_default.any() for one in data.series)),
    ):
        if present:
            marker = {
                "symbol": symbol,
                "size": 9,
                "color": NEUTRAL,
                "line": {"width": 1.5, "color": NEUTRAL},
            }
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    for label, _, _, symbol in _shown_marks(data):
        marker = {"symbol": symbol, "size": 11, "color": NEUTRAL, "line": {"width": 1.5}}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=label)
    draw_lines_interactive(figure, data.lines)
    return figure


def _add_series(figure: go.Figure, one: FrontierSeries, shade: str, label: str) -> None:
    front = 100 * _sorted_front(one.points[one.on_front])
    figure.add_scatter(
        x=front[:, 0],
        y=front[:, 1],
        mode="lines",
        line_shape="vh",
        showlegend=False,
        line={"color": shade, "width": 2},
        hoverinfo="skip",
        legendgroup=label,
    )
    hover = "%{text}<br>clean %{x:.2f} %<br>robust %{y:.2f} %<extra>" + label + "</extra>"
    # Of its own: plotly leaves a trace without points out of the legend.
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=label,
        legendgroup=label,
        marker={"color": shade, "size": 10},
    )
    markers = [
        (~one.is_default & one.feasible, "circle", 10),
        (one.is_default & one.feasible, "star", 17),
        (~one.is_default & ~one.feasible, "circle-open", 10),
        (one.is_default & ~one.feasible, "star-open", 17),
    ]
    for mine, symbol, size in markers:
        figure.add_scatter(
            x=100 * one.points[mine, 0],
            y=100 * one.points[mine, 1],
            mode="markers",
            name=label,
            showlegend=False,
            legendgroup=label,
            text=[escape(text) for text, shown in zip(one.texts, mine, strict=True) if shown],
            hovertemplate=hover,
            opacity=1,
            marker={
                "color": shade,
                "symbol": symbol,
                "size": size,
                "line": {"color": shade if "open" in symbol else "white", "width": 1},
            },
        )
    for mark in _chance_marks(one):
        figure.add_scatter(
            x=100 * one.points[mark.points, 0],
            y=100 * one.points[mark.points, 1],
            mode="markers",
            showlegend=False,
            hoverinfo="skip",
            legendgroup=label,
            marker={"symbol": mark.symbol, "size": 16, "color": NEUTRAL, "line": {"width": 1.5}},
        )
    figure.add_scatter(
        x=100 * one.stopped[:, 0],
        y=100 * one.stopped[:, 1],
        mode="markers",
        showlegend=False,
        text=[escape(text) for text in one.stopped_texts],
        legendgroup=label,
        opacity=0.5,
        hovertemplate=hover.replace("<extra>", "<br>stopped early<extra>"),
        marker={"symbol": "x-thin", "size": 8, "line": {"color": shade, "width": 1.8}},
    )
