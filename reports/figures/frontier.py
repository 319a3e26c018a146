"""Clean against robust MAP of all explored trials, on validation queries."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

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
from reports.figures.chart import Axis, Chart, Line, Mark, Panel, Points, escape, key
from reports.figures.reference_lines import reference_lines
from reports.figures.style import NEUTRAL, colour
from reports.frontier import pareto_mask
from reports.metric_columns import axis_label
from reports.results import SearchResults
from reports.wording import describe_setting
from saat.metrics import OBJECTIVES, Phase

X_LABEL, Y_LABEL = map(axis_label, OBJECTIVES)
UNION_LABEL = "front over all series"
# Flag of a trial → its entry in the legend, and how it is drawn.
FLAGS: dict[str, tuple[str, dict[str, Any]]] = {
    "stopped": (
        "stopped early (last val/* values, short attack)",
        {"symbol": "thin-x", "size": 5},
    ),
    "infeasible": ("violates a constraint", {"is_open": True}),
    "collapsed": (
        "clean MAP at chance: on no front",
        {"symbol": "square", "size": 11, "is_open": True},
    ),
    "powerless": (
        "robust MAP at chance: not recommended",
        {"symbol": "diamond", "size": 11, "is_open": True},
    ),
    "default": ("paper's default", {"symbol": "star", "size": 14, "edge": "black"}),
}


class FrontierSeries(NamedTuple):
    """Trials of one search and code length.

    Attributes:
        label: of the series.
        trials: a row a trial: ``clean`` and ``robust`` MAP in percent, ``text`` (trial and
            setting), and whether it is ``on_front`` and each of `FLAGS`. Of stopped trials the
            MAPs are the last ones of validation.
    """

    label: str
    trials: pd.DataFrame


def frontier_series(searches: Sequence[SearchResults]) -> list[FrontierSeries]:
    """Completed and stopped explore trials of searches that share one protocol."""
    return [one for results in searches for one in _series(results, len(searches) > 1)]


def _series(results: SearchResults, several: bool) -> Iterator[FrontierSeries]:
    completed, stopped = completed_trials(results), stopped_trials(results)
    bits, stopped_bits = bit_lengths(completed), bit_lengths(stopped)
    for value in sorted({*bits, *stopped_bits}):
        mine, theirs = completed[bits == value], stopped[stopped_bits == value]
        both = pd.concat([mine, theirs])
        clean, robust = chance_levels(mine).T
        points = np.concatenate([points_of(mine), theirs[VALIDATED].to_numpy(np.float64)])
        flags = {
            "on_front": on_front(results, mine),
            "infeasible": ~feasible(results, mine),
            "collapsed": clean,
            "powerless": robust & ~clean,
            "default": (mine["role"] == "default").to_numpy(bool),
        }
        none = np.zeros(len(theirs), dtype=np.bool_)
        trials = pd.DataFrame(
            {
                "clean": 100 * points[:, 0],
                "robust": 100 * points[:, 1],
                "text": [
                    f"{row['trial_id']}: {describe_setting(row, results.space)}"
                    for row in both.to_dict("records")
                ],
                "stopped": np.arange(len(both)) >= len(mine),
                **{name: np.concatenate([holds, none]) for name, holds in flags.items()},
            }
        )
        label = bits_label(value)
        yield FrontierSeries(f"{results.name}: {label}" if several else label, trials)


def frontier_chart(searches: Sequence[SearchResults]) -> Chart:
    """Draw fronts and trials, and mark trials that are stopped, infeasible or at chance."""
    series = frontier_series(searches)
    trials = pd.concat([one.trials for one in series]) if series else pd.DataFrame()
    if not len(trials):
        return Chart(())
    completed = [completed_trials(results) for results in searches]
    marks: list[Mark] = [*reference_lines(completed, Phase.REATTACK)]
    fronts = trials[trials["on_front"]]
    if len(series) > 1 and len(fronts):
        union = fronts[pareto_mask(fronts[["clean", "robust"]])]
        marks.append(_front_line(union, NEUTRAL, width=5, opacity=0.3, label=UNION_LABEL))
    for index, one in enumerate(series):
        marks += _marks(one, colour(index))
    for flag, (label, look) in FLAGS.items():
        if trials[flag].any():
            marks.append(key(label, NEUTRAL, **look))
    panel = Panel(marks, Axis(X_LABEL), Axis(Y_LABEL))
    return Chart([panel], height=5.2, legend_columns=2)


def _marks(one: FrontierSeries, shade: str) -> Iterator[Mark]:
    look = {flag: look for flag, (_, look) in FLAGS.items()}
    hover = "%{text}<br>clean %{x:.2f} %<br>robust %{y:.2f} %"
    extra = f"<extra>{escape(one.label)}</extra>"
    trials, group = one.trials, one.label
    completed, stopped = trials[~trials["stopped"]], trials[trials["stopped"]]
    yield key(group, shade)
    yield _front_line(trials[trials["on_front"]], shade, group=group)
    for default in (False, True):
        for infeasible in (False, True):
            rows = completed[
                (completed["default"] == default) & (completed["infeasible"] == infeasible)
            ]
            more = (look["default"] if default else {}) | (look["infeasible"] if infeasible else {})
            yield _points(rows, shade, group=group, hover=hover + extra, **more)
    for flag in ("collapsed", "powerless"):
        yield _points(trials[trials[flag]], NEUTRAL, group=group, **look[flag])
    hover += "<br>stopped early" + extra
    yield _points(stopped, shade, group=group, opacity=0.5, hover=hover, **look["stopped"])


def _points(rows: pd.DataFrame, shade: str, **look: Any) -> Points:
    return Points(*_coordinates(rows), shade, texts=list(rows["text"]), **look)


def _front_line(front: pd.DataFrame, shade: str, **look: Any) -> Line:
    """A step line: the robust MAP reached at a clean MAP is that of the next point."""
    ordered = front.drop_duplicates(["clean", "robust"]).sort_values(["clean", "robust"])
    return Line(*_coordinates(ordered), shade, step="before", **look)


def _coordinates(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["clean"].to_numpy(), rows["robust"].to_numpy()
