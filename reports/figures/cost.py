"""Hypervolume of clean and robust MAP against the work that a search has spent."""

from collections.abc import Sequence
from typing import NamedTuple

from reports.explored import HypervolumeCurve, completed_trials, hypervolume_over_cost
from reports.figures.chart import Axis, Chart, Line, Mark, Panel, Points
from reports.figures.style import colour
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


def cost_chart(data: CostData) -> Chart:
    """A step for every trial that raised the hypervolume."""
    if not data.curves:
        return Chart(())
    marks: list[Mark] = []
    for index, (name, curve) in enumerate(zip(data.names, data.curves, strict=True)):
        minutes, shade = curve.cost_s / 60, colour(index)
        marks.append(Line(minutes, curve.hypervolume, shade, name, step="after"))
        marks.append(
            Points(
                minutes,
                curve.hypervolume,
                shade,
                size=3.5,
                edge="",
                group=name,
                hover="after %{x:.1f} min<br>hypervolume %{y:.4f}<extra></extra>",
            )
        )
    # No feasible trial, no hypervolume.
    highest = max(curve.hypervolume[-1] for curve in data.curves) or 1.0
    latest = max(curve.cost_s[-1] for curve in data.curves) / 60
    x, y = Axis(X_LABEL, limits=(0, 1.04 * latest)), Axis(Y_LABEL, limits=(0, 1.08 * highest))
    return Chart([Panel(marks, x, y)], height=3.6)
