"""Hypervolume of the objectives against the work that a search has spent."""

from collections.abc import Sequence

from reports.explored import completed_trials, hypervolume_over_cost
from reports.figures.chart import NOTHING_COMPLETED, Axis, Chart, Line, Mark, Panel, Points
from reports.figures.style import colour
from reports.objectives import is_default
from reports.results import SearchResults

_HOVER = "after %{x:.1f} min<br>hypervolume %{y:.4f}<extra></extra>"


def cost_chart(searches: Sequence[SearchResults]) -> Chart:
    """Draw a step for every trial that raised the hypervolume of its search."""
    begun = [results for results in searches if len(completed_trials(results))]
    if not begun:
        return NOTHING_COMPLETED
    marks: list[Mark] = []
    latest = highest = 0.0
    for index, results in enumerate(begun):
        curve, shade, name = hypervolume_over_cost(results), colour(index), results.name
        line = curve.cost_s / 60, curve.hypervolume, shade
        marks.append(Line(*line, name, step="after"))
        marks.append(Points(*line, size=3.5, edge="", group=name, hover=_HOVER))
        latest, highest = max(latest, line[0][-1]), max(highest, line[1][-1])
    x = Axis("work of all explore trials so far (minutes)", limits=(0, 1.04 * latest))
    # Without a feasible trial there is no hypervolume.
    aims = searches[0].aims
    corner = "above (0, 0)" if is_default(aims) else "from the reference point"
    y = Axis(f"hypervolume {corner}", limits=(0, 1.08 * (highest or 1.0)))
    return Chart([Panel(marks, x, y)], height=3.6)
