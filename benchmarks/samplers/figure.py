"""The figure of ``docs/results/samplers.md``: ranks and shares over the compute spent."""

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.samplers.comparison import plain, ranks
from reports.figures.static import STATIC_STYLE, legend_below, new_figure
from reports.figures.style import PALETTE, colour

# Tables with large differences, one of each kind; the first ones are drawn that have runs.
SHOWN = ("hpobench/blood_transfusion", "nasbench201/imagenet", "botorch/branin_currin")
_MARKERS = "osDv^X*P"  # more samplers than colours


def draw(runs: pd.DataFrame, marks: Sequence[int]) -> Figure:
    """Mean rank over all tables, then median shares on some; one trial at a time."""
    runs = plain(runs[runs["at_once"] == 1])
    names = list(runs["table"].unique())
    shown = [name for name in SHOWN if name in names] or names[: len(SHOWN)]
    mean = pd.DataFrame({mark: ranks(runs, f"after_{mark}").mean() for mark in marks})
    order = list(mean.iloc[:, -1].sort_values().index)
    with matplotlib.rc_context(STATIC_STYLE):
        figure = new_figure(width=8.4, height=6.4)
        axes = figure.add_subplot(2, 2, 1, title="all problems", ylabel="mean rank, 1 is the best")
        _lines(axes, mean, order)
        axes.invert_yaxis()
        for position, name in enumerate(shown, start=2):
            part = runs[runs["table"] == name]
            columns = [f"after_{mark}" for mark in marks]
            medians = part.groupby("sampler")[columns].median().set_axis(marks, axis=1)
            axes = figure.add_subplot(
                2, 2, position, title=name, ylabel="share of the best hypervolume, %"
            )
            _lines(axes, medians, order)
        legend_below(figure, columns=4)
    return figure


def _lines(axes: Axes, values: pd.DataFrame, samplers: Sequence[str]) -> None:
    axes.set_xlabel("compute spent, whole trainings")
    axes.set_xticks(list(values.columns))
    for index, name in enumerate(samplers):
        if name in values.index:
            axes.plot(
                values.columns,
                values.loc[name],
                color=colour(index),
                marker=_MARKERS[index % len(_MARKERS)],
                ls="-" if index < len(PALETTE) else "--",
                ms=4.5,
                lw=1.6,
                label=name,
            )
