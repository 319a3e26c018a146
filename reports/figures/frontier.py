"""Clean against robust MAP of all explored trials, on validation queries."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
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
from reports.figures.chart import Axis, Chart, Line, Mark, Panel, Points, escape, key, percent_of
from reports.figures.reference_lines import ReferenceLines, lines_of, reference_lines
from reports.figures.style import NEUTRAL, colour
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
DEFAULT_LABEL = "paper's default"


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
    """All series, and what they are read against."""

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


def frontier_chart(data: FrontierData) -> Chart:
    """Fronts, trials, and what there is to say of single ones."""
    if not any(len(one.points) or len(one.stopped) for one in data.series):
        return Chart(())
    marks: list[Mark] = [*lines_of(data.lines)]
    if len(data.series) > 1 and len(data.union):
        marks.append(_front_line(data.union, NEUTRAL, width=5, opacity=0.3, label=UNION_LABEL))
    for index, one in enumerate(data.series):
        marks += _marks(one, colour(index))
    keys = {
        STOPPED_LABEL: (_STOPPED, [one.stopped for one in data.series]),
        INFEASIBLE_LABEL: (_INFEASIBLE, [one.points[~one.feasible] for one in data.series]),
        COLLAPSED_LABEL: (_COLLAPSED, [one.points[one.at_chance[:, 0]] for one in data.series]),
        POWERLESS_LABEL: (_POWERLESS, [one.points[_powerless(one)] for one in data.series]),
        DEFAULT_LABEL: (_DEFAULT, [one.points[one.is_default] for one in data.series]),
    }
    for label, (look, found) in keys.items():
        if any(map(len, found)):
            marks.append(key(label, NEUTRAL, **look))
    panel = Panel(marks, Axis(X_LABEL), Axis(Y_LABEL))
    return Chart([panel], height=5.2, legend_columns=2)


_STOPPED: dict[str, Any] = {"symbol": "thin-x", "size": 5}
_INFEASIBLE: dict[str, Any] = {"is_open": True}
_COLLAPSED: dict[str, Any] = {"symbol": "square", "size": 11, "is_open": True}
_POWERLESS: dict[str, Any] = {"symbol": "diamond", "size": 11, "is_open": True}
_DEFAULT: dict[str, Any] = {"symbol": "star", "size": 14, "edge": "black"}


def _marks(one: FrontierSeries, shade: str) -> Iterator[Mark]:
    hover = "%{text}<br>clean %{x:.2f} %<br>robust %{y:.2f} %<extra>" + escape(one.label)
    yield key(one.label, shade)
    yield _front_line(_sorted_front(one.points[one.on_front]), shade, group=one.label)
    for looks, shown in (({}, ~one.is_default), (_DEFAULT, one.is_default)):
        for more, mine in (({}, shown & one.feasible), (_INFEASIBLE, shown & ~one.feasible)):
            yield Points(
                *percent_of(one.points[mine]),
                shade,
                group=one.label,
                texts=list(np.array(one.texts)[mine]),
                hover=f"{hover}</extra>",
                **looks | more,
            )
    for look, mine in ((_COLLAPSED, one.at_chance[:, 0]), (_POWERLESS, _powerless(one))):
        yield Points(*percent_of(one.points[mine]), NEUTRAL, group=one.label, **look)
    yield Points(
        *percent_of(one.stopped),
        shade,
        opacity=0.5,
        group=one.label,
        texts=one.stopped_texts,
        hover=hover.replace("<extra>", "<br>stopped early<extra>") + "</extra>",
        **_STOPPED,
    )


def _powerless(one: FrontierSeries) -> NDArray[np.bool_]:
    clean, robust = one.at_chance.T
    return np.asarray(robust & ~clean, dtype=np.bool_)


def _front_line(front: NDArray[np.float64], shade: str, **look: Any) -> Line:
    """Steps "before": what is reached at a clean MAP is the robust MAP of the next point."""
    return Line(*percent_of(front), shade, step="before", **look)
