"""Hypervolume of clean and robust MAP against the work that a search has spent."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go
from matplotlib.figure import Figure

from reports.explored import HypervolumeCurve, completed_trials, hypervolume_over_cost
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
from reports.results import SearchResults

X_LABEL = "work of all explore trials so far (minutes)"
Y_LABEL = "hypervolume above (0, 0)"


class CostData(NamedTuple):
    """One curve a search."""

    names: tuple[str, ...]
    curves: tuple[HypervolumeCurve, ...]


def cost_data(searches: Sequence[SearchResults]) -> CostData:
    """Curves of the searches that have completed trials."""
    begun = [results for results in searches if len(completed_trials(results))]
    return CostData(
        tuple(results.name for results in begun),
        tuple(hypervolume_over_cost(results) for results in begun),
    )


def cost_static(data: CostData) -> Figure:
    """Draw hypervolume over cost with matplotlib."""
    if not data.curves:
        return message_static()
    figure = new_static(height=3.6)
    axes = figure.add_subplot(xlabel=X_LABEL, ylabel=Y_LABEL)
    for index, (name, curve) in enumerate(zip(data.names, data.curves, strict=True)):
        axes.plot(
            curve.cost_s / 60,
            curve.hypervolume,
            drawstyle="steps-post",
            marker="o",
            ms=3.5,
            color=colour(index),
            label=legend_label(name),
        )
    # No feasible trial, no hypervolume.
    axes.set_ylim(0, 1.08 * (max(curve.hypervolume[-1] for curve in data.curves) or 1.0))
    axes.set_xlim(left=0)
    legend_below(figure)
    return figure


def cost_interactive(data: CostData) -> go.Figure:
    """Draw hypervolume over cost with plotly."""
    if not data.curves:
        return message_interactive()
    figure = new_interactive(X_LABEL, Y_LABEL, height=400)
    for index, (name, curve) in enumerate(zip(data.names, data.curves, strict=True)):
        figure.add_scatter(
            x=curve.cost_s / 60,
            y=curve.hypervolume,
            mode="lines+markers",
            line={"shape": "hv", "color": colour(index), "width": 2},
            marker={"size": 6},
            name=escape(name),
            showlegend=True,
            hovertemplate="after %{x:.1f} min<br>hypervolume %{y:.4f}<extra></extra>",
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    return figure
