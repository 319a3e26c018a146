"""Every searched parameter against clean and robust MAP of completed explore trials."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from reports.explored import completed_trials, points_of
from reports.figures.chart import Axis, Chart, Mark, Panel, Points, Symbol, Values
from reports.figures.style import colour
from reports.metric_columns import column_of
from reports.results import SearchResults
from reports.wording import is_pixel_parameter
from saat.metrics import OBJECTIVES

_SYMBOLS: tuple[Symbol, ...] = ("circle", "square")


def parameters_chart(results: SearchResults) -> Chart:
    """Draw a panel for every searched parameter that trials have, in the order of the file."""
    frame = completed_trials(results)
    if not len(frame):
        return Chart(())
    panels = [
        _panel(frame, key, results.space[key]) for key in results.space if f"param.{key}" in frame
    ]
    return Chart(panels, width=2.9, height=2.75, legend_columns=4 if len(panels) > 2 else 2)


def _panel(frame: pd.DataFrame, key: str, specification: Any) -> Panel:
    column = frame[f"param.{key}"]
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    numeric = bool(numbers.notna().any() and numbers.isna().sum() == column.isna().sum())
    options = specification if isinstance(specification, dict) else {}
    if numeric and "choice" not in options:
        pixel = is_pixel_parameter(key)
        values = np.array(numbers * (255 if pixel else 1), dtype=np.float64)
        log = bool(options.get("log")) and bool(np.nanmin(values) > 0)
        label = key + (" (1/255)" if pixel else " (log scale)" if log else "")
        axis = Axis(label, "log" if log else "whole" if (values % 1 == 0).all() else "linear")
    else:
        order = numbers if numeric else column.astype("string")
        names = column.astype("string").fillna("not set")
        choices = tuple(dict.fromkeys(names[order.sort_values().index]))
        values = names.map(choices.index).to_numpy(dtype=np.float64)
        axis = Axis(key, categories=choices, limits=(-0.6, len(choices) - 0.4))
    return Panel(list(_marks(frame, values)), axis, Axis("MAP, validation (%)"))


def _marks(frame: pd.DataFrame, values: Values) -> Iterator[Mark]:
    default = (frame["role"] == "default").to_numpy(dtype=bool)
    stars: Any = {"symbol": "star", "size": 12, "edge": "black"}
    for index, (name, symbol) in enumerate(zip(OBJECTIVES, _SYMBOLS, strict=True)):
        label, y = column_of(name).label, 100 * points_of(frame)[:, index]
        for text, mine, look in (
            (label, ~default, {"symbol": symbol, "size": 5}),
            (f"paper's default, {label}", default, stars),
        ):
            yield Points(
                values[mine],
                y[mine],
                colour(index),
                text,
                texts=list(frame["trial_id"][mine]),
                hover="%{text}<br>%{x}<br>%{y:.2f} %<extra>" + label + "</extra>",
                **look,
            )
