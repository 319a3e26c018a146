"""Every searched parameter against clean and robust MAP of completed explore trials."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.explored import completed_trials, points_of
from reports.figures.chart import Axis, Chart, Mark, Panel, Points, Symbol
from reports.figures.style import colour
from reports.results import SearchResults
from reports.wording import is_pixel_parameter

Y_LABEL = "MAP, validation (%)"
# Name, index of the colour and symbol of the columns of `points_of`.
_OBJECTIVES: tuple[tuple[str, int, Symbol], ...] = (("clean", 0, "circle"), ("robust", 1, "square"))


class ParameterPanel(NamedTuple):
    """One searched parameter."""

    label: str  # with its unit
    values: NDArray[np.float64]  # (n,); positions in `choices` where the parameter is a choice
    choices: tuple[str, ...]  # empty for numbers
    log: bool


class ParametersData(NamedTuple):
    """All parameters of the same trials."""

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


def parameters_chart(data: ParametersData) -> Chart:
    """A panel for every searched parameter."""
    if not len(data.points):
        return Chart(())
    panels = [
        Panel(list(_marks(panel, data)), _axis(panel), Axis(Y_LABEL)) for panel in data.panels
    ]
    return Chart(panels, width=2.9, height=2.75, legend_columns=4 if len(panels) > 2 else 2)


def _marks(panel: ParameterPanel, data: ParametersData) -> Iterator[Mark]:
    stars: Any = {"symbol": "star", "size": 12, "edge": "black"}
    for (name, shade, symbol), y in zip(_OBJECTIVES, 100 * data.points.T, strict=True):
        for label, mine, look in (
            (f"{name} MAP", ~data.is_default, {"symbol": symbol, "size": 5}),
            (f"paper's default, {name}", data.is_default, stars),
        ):
            yield Points(
                panel.values[mine],
                y[mine],
                colour(shade),
                label=label,
                texts=list(np.array(data.trial_ids)[mine]),
                hover="%{text}<br>%{x}<br>%{y:.2f} %<extra>" + name + "</extra>",
                **look,
            )


def _axis(panel: ParameterPanel) -> Axis:
    if panel.choices:
        ends = (-0.6, len(panel.choices) - 0.4)
        return Axis(panel.label, categories=panel.choices, limits=ends)
    whole = bool(np.all(panel.values % 1 == 0))
    return Axis(panel.label, "log" if panel.log else "whole" if whole else "linear")
