"""Objectives of all explored trials against each other, on validation queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.explored import (
    chance_levels,
    completed_trials,
    feasible,
    stopped_trials,
    values_of,
)
from reports.figures.chart import (
    NOTHING_COMPLETED,
    Axis,
    Chart,
    Letters,
    Line,
    Mark,
    Panel,
    Points,
    escape,
    focus_on,
    key,
)
from reports.figures.reference_lines import reference_lines
from reports.figures.style import NEUTRAL, colour, shape
from reports.front_groups import front_groups, on_fronts
from reports.frontier import pareto_mask
from reports.objectives import Scale, hover_of, objective_label, scale_of
from reports.results import SearchResults
from reports.wording import describe_setting
from saat.feasibility import Aims, Objective
from saat.metrics import Phase

UNION_LABEL = "front over all series"
_ON_FRONT = "on the Pareto front"
_FRONT_LOOK: dict[str, Any] = {"is_open": True, "size": 17}  # around a star
# Flag of a trial → its entry in the legend, and how it is drawn.
FLAGS: dict[str, tuple[str, dict[str, Any]]] = {
    "stopped": (
        "stopped early (last val/* values, short attack)",
        {"symbol": "thin-x", "size": 5},
    ),
    "infeasible": ("violates a constraint", {"is_open": True}),
    "collapsed": (
        "clean MAP not above chance: on no front",
        {"symbol": "square", "size": 11, "is_open": True},
    ),
    "powerless": (
        "robust MAP not above chance: not recommended",
        {"symbol": "diamond", "size": 11, "is_open": True},
    ),
    "default": ("paper's default", {"symbol": "star", "size": 14, "edge": "black"}),
}


class FrontierSeries(NamedTuple):
    """Trials of one search that share a front: of one code length, or one value of a key.

    Attributes:
        label: of the series.
        trials: a row a trial: its objectives by their plain names in their own units, ``text``
            (trial and setting), ``key`` (`SearchResults.keys_on`), its ``letter`` if it
            is recommended, and whether it is ``on_front``
            and each of `FLAGS`. Of stopped trials the values are the last ones of validation.
    """

    label: str
    trials: pd.DataFrame


def frontier_series(searches: Sequence[SearchResults], by: str = "") -> list[FrontierSeries]:
    """Completed and stopped explore trials of searches that share one protocol.

    ``by`` is the searched key whose values have fronts of their own; see
    :func:`reports.front_groups.front_groups`.
    """
    several = len(searches) > 1
    return [one for results in searches for one in _series(results, by, several)]


def _series(results: SearchResults, by: str, several: bool) -> Iterator[FrontierSeries]:
    completed, stopped = completed_trials(results), stopped_trials(results)
    both = pd.concat([completed, stopped])
    clean, robust = chance_levels(completed).T
    values = np.concatenate(
        [values_of(results, completed), values_of(results, stopped, Phase.VALIDATION)]
    )
    flags = {
        "on_front": on_fronts(results, by).to_numpy(bool),
        "infeasible": ~feasible(results, completed),
        "collapsed": clean,
        "powerless": robust & ~clean & ("robust_map" in results.aims.names),
        "default": (completed["role"] == "default").to_numpy(bool),
    }
    none = np.zeros(len(stopped), dtype=np.bool_)
    trials = pd.DataFrame(
        {
            **dict(zip(results.aims.names, values.T, strict=True)),
            "text": [
                f"{row['trial_id']}: {describe_setting(row, results.space)}"
                for row in both.to_dict("records")
            ],
            "key": results.keys_on(both),
            "letter": results.letters_on(both),
            "stopped": np.arange(len(both)) >= len(completed),
            **{name: np.concatenate([holds, none]) for name, holds in flags.items()},
        },
        both.index,
    )
    groups = front_groups(results, by).loc[both.index]
    for label, of_group in trials.groupby(groups, observed=True):
        yield FrontierSeries(f"{results.name}: {label}" if several else str(label), of_group)


@dataclass(frozen=True)
class View:
    """Two objectives of trials, as a panel shows them."""

    x: Objective
    y: Objective
    scales: Mapping[str, Scale]  # by the name of the objective
    has_lines: bool  # whether there is no third objective, so that fronts are lines

    def coordinates(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Values along both axes, in their units."""
        x, y = (self.scales[o.name].factor * rows[o.name].to_numpy() for o in (self.x, self.y))
        return x, y

    def axes(self) -> tuple[Axis, Axis]:
        """Both axes with their units, and which way is better where that is down."""
        x, y = (
            Axis(objective_label(objective, scale.symbol), "whole" if scale.is_whole else "linear")
            for objective in (self.x, self.y)
            for scale in [self.scales[objective.name]]
        )
        return x, y

    def hover(self) -> str:
        """Plotly's template of the text over a point."""
        pairs = (("x", self.x.name), ("y", self.y.name))
        return "%{text}<br>" + hover_of((axis, name, self.scales[name]) for axis, name in pairs)

    def front_line(self, front: pd.DataFrame, shade: str, **look: Any) -> Line:
        """A step line through a front: for every x, the best y that is reached with it.

        At a value of x that is maximised, trials with at least as much reach it, so the line has
        the y of the next point. If x is minimised, trials with at most as much do.
        """
        names = [self.x.name, self.y.name]
        ordered = front.drop_duplicates(names).sort_values(names)
        step: Any = "before" if self.x.maximise else "after"
        return Line(*self.coordinates(ordered), shade, step=step, **look)


def frontier_chart(searches: Sequence[SearchResults], by: str = "") -> Chart:
    """Draw fronts and trials, and mark trials that are stopped, infeasible or at chance.

    Two objectives are the axes of one panel. Three have a panel for every two of them: there the
    front of all three is no line, and its trials are marked. ``by`` is as in
    `frontier_series`. The axes show the completed trials first.
    """
    series = frontier_series(searches, by)
    trials = pd.concat([one.trials for one in series]) if series else pd.DataFrame()
    if not len(trials):
        return NOTHING_COMPLETED
    aims = searches[0].aims
    scales = {name: scale_of(name, trials[name]) for name in aims.names}
    views = [
        View(x, y, scales, len(aims.objectives) == 2) for x, y in combinations(aims.objectives, 2)
    ]
    panels = [_panel(view, aims, series, trials, searches) for view in views]
    if len(panels) == 1:
        return Chart(panels, height=5.2, legend_columns=2)
    return Chart(panels, width=3.9, height=4.4, legend_columns=3)


def _panel(
    view: View,
    aims: Aims,
    series: Sequence[FrontierSeries],
    trials: pd.DataFrame,
    searches: Sequence[SearchResults],
) -> Panel:
    marks: list[Mark] = []
    if view.y.name == "robust_map":
        frames = [completed_trials(results) for results in searches]
        marks += reference_lines(frames, Phase.REATTACK)
    fronts = trials[trials["on_front"]]
    if view.has_lines and len(series) > 1 and len(fronts):
        union = fronts[pareto_mask(aims.oriented(fronts[list(aims.names)].to_numpy()))]
        marks.append(view.front_line(union, NEUTRAL, width=5, opacity=0.3, label=UNION_LABEL))
    for index, one in enumerate(series):
        marks += _marks(view, one, index)
    for flag, (label, look) in FLAGS.items():
        if trials[flag].any():
            marks.append(key(label, NEUTRAL, **look))
    if not view.has_lines and len(fronts):
        marks.append(key(_ON_FRONT, "black", **_FRONT_LOOK))
    named = trials[(trials["letter"] != "") & ~trials["stopped"]]
    if len(named):
        marks.append(Letters(*view.coordinates(named), list(named["letter"])))
    completed = trials[~trials["stopped"]]
    return Panel(marks, *view.axes(), focus=focus_on(*view.coordinates(completed)))


def _marks(view: View, one: FrontierSeries, index: int) -> Iterator[Mark]:
    shade, (symbol, dash) = colour(index), shape(index)
    look = {flag: look for flag, (_, look) in FLAGS.items()}
    hover = view.hover()
    extra = f"<extra>{escape(one.label)}</extra>"
    trials, group = one.trials, one.label
    completed, stopped = trials[~trials["stopped"]], trials[trials["stopped"]]
    yield key(group, shade, symbol=symbol)
    front = trials[trials["on_front"]]
    if view.has_lines:
        yield view.front_line(front, shade, group=group, dash=dash)
    else:
        yield _points(view, front, "black", group=group, **_FRONT_LOOK)
    for default in (False, True):
        for infeasible in (False, True):
            rows = completed[
                (completed["default"] == default) & (completed["infeasible"] == infeasible)
            ]
            more = look["default"] if default else {"symbol": symbol}
            more = more | (look["infeasible"] if infeasible else {})
            yield _points(view, rows, shade, group=group, hover=hover + extra, **more)
    for flag in ("collapsed", "powerless"):
        yield _points(view, trials[trials[flag]], NEUTRAL, group=group, **look[flag])
    hover += "<br>stopped early" + extra
    yield _points(view, stopped, shade, group=group, opacity=0.5, hover=hover, **look["stopped"])


def _points(view: View, rows: pd.DataFrame, shade: str, **look: Any) -> Points:
    look |= {"texts": list(rows["text"]), "keys": list(rows["key"])}
    return Points(*view.coordinates(rows), shade, **look)
