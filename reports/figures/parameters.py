"""Every searched parameter against clean and robust MAP of completed explore trials."""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.explored import completed_trials, points_of
from reports.figures.style import (
    colour,
    escape,
    legend_below,
    message_interactive,
    message_static,
    new_interactive,
    new_static,
)
from reports.results import SearchResults
from reports.wording import is_pixel_parameter

Y_LABEL = "MAP, validation (%)"
# (name, colour index, matplotlib marker, plotly symbol) of the columns of `points_of`
_OBJECTIVES = (("clean", 0, "o", "circle"), ("robust", 1, "s", "square"))


class ParameterPanel(NamedTuple):
    """One searched parameter."""

    label: str  # with its unit
    values: NDArray[np.float64]  # (n,); positions in `choices` where the parameter is a choice
    choices: tuple[str, ...]  # empty for numbers
    log: bool


class ParametersData(NamedTuple):
    """Everything that both renderers draw."""

    panels: tuple[ParameterPanel, ...]
    points: NDArray[np.float64]  # (n, 2) clean and robust MAP, fractions
    is_default: NDArray[np.bool_]  # (n,)
    trial_ids: tuple[str, ...]


def parameters_data(results: SearchResults) -> ParametersData:
    """Searched parameters that the trials name, in the order of the experiment file."""
    frame = completed_trials(results)
    keys = [key for key in results.space if f"param.{key}" in frame]
    return ParametersData(
        panels=tuple(_panel(frame[f"param.{key}"], key, results.space[key]) for key in keys),
        points=points_of(frame),
        is_default=(frame["role"] == "default").to_numpy(dtype=bool),
        trial_ids=tuple(frame["trial_id"]),
    )


def _panel(column: pd.Series, key: str, specification: Any) -> ParameterPanel:
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    numeric = bool(numbers.notna().any() and numbers.isna().sum() == column.isna().sum())
    options = specification if isinstance(specification, dict) else {}
    if numeric and "choice" not in options:
        pixel = is_pixel_parameter(key)
        values = np.array(numbers * (255 if pixel else 1), dtype=np.float64)
        log = bool(options.get("log")) and bool(np.nanmin(values) > 0)
        unit = " (1/255)" if pixel else " (log scale)" if log else ""
        return ParameterPanel(key + unit, values, (), log)
    order = numbers if numeric else column.astype("string")
    names = column.astype("string").fillna("not set")
    choices = tuple(dict.fromkeys(names[order.sort_values().index]))
    positions = names.map(choices.index).to_numpy(dtype=np.float64)
    return ParameterPanel(key, positions, choices, False)


def parameters_static(data: ParametersData) -> Figure:
    """Draw one panel a parameter with matplotlib."""
    if not len(data.points) or not data.panels:
        return message_static()
    columns = min(3, len(data.panels))
    rows = ceil(len(data.panels) / columns)
    figure = new_static(width=max(2.9 * columns, 4.2), height=2.5 * rows + 0.5)
    for position, panel in enumerate(data.panels):
        axes = figure.add_subplot(rows, columns, position + 1, xlabel=panel.label)
        if position % columns == 0:
            axes.set_ylabel(Y_LABEL)
        _scale_static(axes, panel)
        for (name, shade, marker, _), y in zip(_OBJECTIVES, 100 * data.points.T, strict=True):
            sampled, star = ~data.is_default, data.is_default
            axes.plot(
                panel.values[sampled],
                y[sampled],
                marker,
                color=colour(shade),
                ms=5,
                mec="white",
                label=f"{name} MAP",
            )
            axes.plot(
                panel.values[star],
                y[star],
                "*",
                color=colour(shade),
                ms=12,
                mec="black",
                mew=0.7,
                label=f"paper's default, {name}",
            )
    legend_below(figure, columns=4 if columns == 3 else 2)
    return figure


def _scale_static(axes: Axes, panel: ParameterPanel) -> None:
    if panel.choices:
        axes.set_xticks(range(len(panel.choices)), panel.choices)
        axes.set_xlim(-0.6, len(panel.choices) - 0.4)
    elif panel.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    elif np.all(panel.values % 1 == 0):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def parameters_interactive(data: ParametersData) -> list[go.Figure]:
    """Draw one figure a parameter with plotly."""
    if not len(data.points) or not data.panels:
        return [message_interactive()]
    return [_panel_interactive(panel, data) for panel in data.panels]


def _panel_interactive(panel: ParameterPanel, data: ParametersData) -> go.Figure:
    figure = new_interactive(panel.label, Y_LABEL, height=300)
    for (name, shade, _, symbol), y in zip(_OBJECTIVES, 100 * data.points.T, strict=True):
        for mine, size in ((~data.is_default, 8), (data.is_default, 14)):
            figure.add_scatter(
                x=panel.values[mine],
                y=y[mine],
                mode="markers",
                marker={
                    "color": colour(shade),
                    "symbol": symbol if size == 8 else "star",
                    "size": size,
                    "line": {"color": "white", "width": 0.7},
                },
                name=f"{name} MAP",
                legendgroup=name,
                showlegend=size == 8,
                text=[escape(trial_id) for trial_id in np.array(data.trial_ids)[mine]],
                hovertemplate="%{text}<br>%{x}<br>%{y:.2f} %<extra>" + name + "</extra>",
            )
    if panel.choices:
        figure.update_xaxes(
            tickvals=list(range(len(panel.choices))),
            ticktext=[escape(choice) for choice in panel.choices],
            range=[-0.6, len(panel.choices) - 0.4],
        )
    elif panel.log:
        figure.update_xaxes(type="log", dtick=1, exponentformat="power")
    return figure
