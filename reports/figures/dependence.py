"""Partial dependence of clean and robust MAP on each searched key."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.explanation import Dependence
from reports.explored import completed_trials
from reports.figures.chart import (
    Area,
    Axis,
    Chart,
    Letters,
    Line,
    Mark,
    Panel,
    Points,
    Values,
    escape,
    percents,
)
from reports.figures.key_axis import bounds_of, choice_axis, number_axis, unit_of
from reports.figures.style import OBJECTIVE_SYMBOLS, colour
from reports.objectives import label_of
from reports.results import SearchResults
from reports.wording import parameter_symbol, parameter_value
from saat.metrics import OBJECTIVES


def dependence_chart(results: SearchResults) -> Chart:
    """Draw a panel for every searched key: a curve of a range, points of a choice.

    All panels have the same heights. A star is the paper's default, and letters name the
    recommended settings, each at its own value of the key.
    """
    found = results.explanation.dependence if results.explanation else ()
    curves = {key: [one for one in found if one.key == key] for key in results.space}
    frame = completed_trials(results)
    frame = frame.assign(letter=results.letters_on(frame))
    ends = [end for one in found for e in one.estimates for end in (e.low, e.high)]
    margin = 0.04 * (max(ends, default=1.0) - min(ends, default=0.0))
    heights = 100 * (min(ends, default=0.0) - margin), 100 * (max(ends, default=1.0) + margin)
    panels = [
        _panel(frame, results.space[key], mine, Axis("MAP, validation (%)", limits=heights))
        for key, mine in curves.items()
        if mine
    ]
    columns = 4 if len(panels) > 2 else 2
    return Chart(panels, width=2.9, height=2.75, legend_columns=columns, nothing="no model yet")


def means_at(one: Dependence, values: Sequence[Any]) -> Values:
    """The averages at some values of the key, (n,); NaN outside its range or choices.

    Between the values of the curve, a straight line on the scale of the axis.
    """
    means = np.array([estimate.mean for estimate in one.estimates])
    if not _is_range(one):
        places = [one.values.index(v) if v in one.values else None for v in values]
        return np.array([np.nan if place is None else means[place] for place in places])
    at, wanted = np.array(one.values, dtype=np.float64), np.array(values, dtype=np.float64)
    inside = (wanted >= at[0]) & (wanted <= at[-1])
    steps = np.log(at) if _is_even(np.log(at) if at[0] > 0 else at) else at
    asked = np.log(np.where(inside, wanted, at[0])) if steps is not at else wanted
    return np.asarray(np.where(inside, np.interp(asked, steps, means), np.nan))


def _is_even(values: Values) -> bool:
    return bool(len(values) > 2 and np.ptp(np.diff(values)) < 1e-6 * np.ptp(values))


def _is_range(one: Dependence) -> bool:
    numbers = [v for v in one.values if isinstance(v, int | float) and not isinstance(v, bool)]
    return len(numbers) == len(one.values) and numbers == sorted(numbers)


def _panel(frame: pd.DataFrame, options: Any, curves: Sequence[Dependence], y: Axis) -> Panel:
    key, known = curves[0].key, options if isinstance(options, dict) else {}
    if "choice" in known or not _is_range(curves[0]):
        names = tuple(parameter_value(key, value) for value in curves[0].values)
        places = np.arange(len(names), dtype=np.float64)
        axis, marks = choice_axis(key, names), list[Mark]()
    else:
        places = unit_of(key) * np.array(curves[0].values, dtype=np.float64)
        axis, marks = number_axis(key, known, places), list[Mark](bounds_of(key, known))
    for index, one in enumerate(curves):
        curve = _points if axis.categories else _curve
        marks += curve(one, places, colour(index))
    for index, one in enumerate(curves):
        marks += _settings(frame, one, colour(index), bool(axis.categories))
    return Panel(marks, axis, y)


def _curve(one: Dependence, places: Values, shade: str) -> Iterator[Mark]:
    label = label_of(one.metric)
    mean, low, high = percents(one.estimates, "mean", "low", "high")
    yield Area(places, low, high, shade, group=label)
    hover = f"{parameter_symbol(one.key)} %{{x:.3g}}<br>%{{y:.1f}} %<extra>{escape(label)}</extra>"
    yield Line(places, mean, shade, label, width=1.8, hover=hover)


def _points(one: Dependence, places: Values, shade: str) -> Iterator[Mark]:
    mean, low, high = percents(one.estimates, "mean", "low", "high")
    label = label_of(one.metric)
    yield Points(
        places,
        mean,
        shade,
        label,
        symbol=OBJECTIVE_SYMBOLS[OBJECTIVES.index(one.metric)],
        size=7,
        y_error=np.array([mean - low, high - mean]),
        hover=f"%{{y:.1f}} %<extra>{escape(label)}</extra>",
    )


def _settings(
    frame: pd.DataFrame, one: Dependence, shade: str, is_choice: bool
) -> Iterator[Points | Letters]:
    """The paper's default and the recommended settings, at their own values of the key."""
    column = frame.get(f"param.{one.key}", pd.Series(None, frame.index, dtype=object))
    having = column.notna() & ((frame["role"] == "default") | (frame["letter"] != ""))
    rows, values = frame[having], [_plain(value) for value in column[having]]
    heights = 100 * means_at(one, values)
    places = (
        np.array([one.values.index(v) if v in one.values else np.nan for v in values], float)
        if is_choice
        else unit_of(one.key) * np.array(values, dtype=np.float64)
    )
    known = ~np.isnan(heights)
    default = known & (rows["role"] == "default").to_numpy(bool)
    label = f"paper's default, {label_of(one.metric)}"
    look: Any = {"symbol": "star", "size": 11, "edge": "black", "label": label}
    yield Points(places[default], heights[default], shade, **look)
    named = known & (rows["letter"] != "").to_numpy(bool)
    if named.any():
        yield Letters(places[named], heights[named], list(rows["letter"][named]))


def _plain(value: Any) -> Any:
    """A value of a table as the file has it."""
    return value.item() if isinstance(value, np.generic) else value
