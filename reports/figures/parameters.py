"""Every searched parameter against the objectives of completed explore trials."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.explored import completed_trials, values_of
from reports.figures.chart import (
    NOTHING_COMPLETED,
    Axis,
    Chart,
    Letters,
    Mark,
    Panel,
    Points,
    Symbol,
    Values,
)
from reports.figures.key_axis import bounds_of, choice_axis, number_axis, unit_of
from reports.figures.style import OBJECTIVE_SYMBOLS, colour
from reports.objectives import Scale, is_parameter, label_of, scale_of, with_unit
from reports.results import SearchResults
from saat.feasibility import Objective


class _Drawn(NamedTuple):
    """An objective and its look."""

    objective: Objective
    values: Values  # (n,) of the trials, in the unit of the scale
    scale: Scale
    shade: str
    symbol: Symbol


def parameters_chart(results: SearchResults) -> Chart:
    """Draw a panel for every searched parameter that trials have, in the order of the file.

    Percentages share a panel; an objective in another unit has panels of its own. An objective that
    is a parameter itself, such as the code length, is left out. Dotted lines are the ends of the
    searched range, and letters name the recommended settings.
    """
    frame = completed_trials(results)
    frame = frame.assign(
        letter=results.letters_on(frame),
        key=results.keys_on(frame),
    )
    if not len(frame):
        return NOTHING_COMPLETED
    keys = [key for key in results.space if f"param.{key}" in frame]
    panels = [
        _panel(frame, key, results.space[key], drawn)
        for drawn in _groups(results, frame)
        for key in keys
    ]
    return Chart(panels, width=2.9, height=2.75, legend_columns=4 if len(panels) > 2 else 2)


def _groups(results: SearchResults, frame: pd.DataFrame) -> list[list[_Drawn]]:
    """Objectives that share panels: all percentages, then every other one alone."""
    columns = zip(
        results.aims.objectives, values_of(results, frame).T, OBJECTIVE_SYMBOLS, strict=False
    )
    drawn = [
        _Drawn(objective, scale.factor * values, scale, colour(index), symbol)
        for index, (objective, values, symbol) in enumerate(columns)
        if not is_parameter(objective.name)
        for scale in [scale_of(objective.name, values)]
    ]
    percentages = [one for one in drawn if one.scale.symbol == "%"]
    others = [[one] for one in drawn if one.scale.symbol != "%"]
    return [percentages, *others] if percentages else others


def _panel(frame: pd.DataFrame, key: str, specification: Any, drawn: Sequence[_Drawn]) -> Panel:
    column = frame[f"param.{key}"]
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    numeric = bool(numbers.notna().any() and numbers.isna().sum() == column.isna().sum())
    options = specification if isinstance(specification, dict) else {}
    if numeric and "choice" not in options:
        values = np.array(numbers * unit_of(key), dtype=np.float64)
        axis, bounds = number_axis(key, options, values), list(bounds_of(key, options))
    else:
        bounds = []
        order = numbers if numeric else column.astype("string")
        names = column.astype("string").fillna("not set")
        choices = tuple(dict.fromkeys(names[order.sort_values().index]))
        values = names.map(choices.index).to_numpy(dtype=np.float64)
        axis = choice_axis(key, choices)
    return Panel([*bounds, *_marks(frame, values, drawn)], axis, _value_axis(drawn))


def _value_axis(drawn: Sequence[_Drawn]) -> Axis:
    name, scale = drawn[0].objective.name, drawn[0].scale
    if scale.symbol == "%":
        return Axis("MAP, validation (%)")
    return Axis(with_unit(label_of(name), scale.symbol), "whole" if scale.is_whole else "linear")


def _marks(frame: pd.DataFrame, values: Values, drawn: Sequence[_Drawn]) -> Iterator[Mark]:
    default = (frame["role"] == "default").to_numpy(dtype=bool)
    stars: Any = {"symbol": "star", "size": 12, "edge": "black"}
    for one in drawn:
        label = label_of(one.objective.name)
        for text, mine, look in (
            (label, ~default, {"symbol": one.symbol, "size": 5}),
            (f"paper's default, {label}", default, stars),
        ):
            yield Points(
                values[mine],
                one.values[mine],
                one.shade,
                text,
                texts=list(frame["trial_id"][mine]),
                keys=list(frame["key"][mine]),
                hover=f"%{{text}}<br>%{{x}}<br>%{{y:.2f}} {one.scale.symbol}".rstrip()
                + f"<extra>{label}</extra>",
                **look,
            )
        named = (frame["letter"] != "").to_numpy(dtype=bool)
        if named.any():
            yield Letters(values[named], one.values[named], list(frame["letter"][named]))
