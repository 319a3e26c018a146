"""Why a setting was recommended: the figures of what the search's model says, and what is missing.

Figures are left out where there is nothing to draw. A note then says why.
"""

from collections.abc import Sequence

from reports.explanation import Dependence
from reports.figures.ablation import (
    LetteredPath,
    ablation_chart,
    change_text,
    interval_text,
    lettered_paths,
)
from reports.figures.dependence import dependence_chart
from reports.figures.report_figure import ReportFigure
from reports.objectives import label_of, listed
from reports.results import SearchResults
from reports.wording import capital, parameter_symbol, points
from saat.metrics import OBJECTIVES
from saat.wording import counted

_MODEL = (
    "The model is the Gaussian process of the sampler ehvi, fitted to all trials of the search, "
    "whichever sampler it had: trials at chance teach it nothing, and trials far below the front "
    "count for less where they contradict the others."
)


def explained_figures(results: SearchResults) -> list[ReportFigure]:
    """The path to each recommended setting, and the dependence on each key, where there are any."""
    found = [
        ReportFigure(
            "ablation",
            "From the paper's default to the recommended settings",
            f"{' '.join(map(path_text, lettered_paths(results)))} One key changes at a time, the "
            "one with the largest predicted gain first, measured by what the setting was chosen "
            "by. Filled symbols are measured on validation queries: the ends, and settings on the "
            "way that the search happened to train. Open symbols are predicted, with 95 % "
            f"intervals of the model for the mean of such trainings. {_MODEL}",
            ablation_chart(results),
        )
    ]
    dependence = results.explanation.dependence if results.explanation else ()
    if dependence:
        found.append(
            ReportFigure(
                "dependence",
                "What each parameter does to clean and robust MAP",
                f"{_strongest(dependence)} Partial dependence: the model's prediction, averaged "
                f"over the {counted(max(one.settings for one in dependence), 'completed setting')} "
                "of the search with the value on the axis in place of their own. Areas and bars "
                "are 95 % intervals of that average. Stars are the paper's default, letters the "
                f"recommended settings, each at its own value. {_weights(dependence)}{_MODEL}",
                dependence_chart(results),
            )
        )
    return found


def explained_notes(results: SearchResults) -> list[str]:
    """Why a search has no path or no dependence, a sentence each."""
    if not results.space or not len(results.explore):
        return []
    found = results.explanation
    if found is None:
        return [
            "No path from the paper's default and no partial dependence: the run has no "
            "explanation.json of this version. `saat report` writes it from the journal."
        ]
    if found.missing:
        return [f"No path from the paper's default and no partial dependence: {found.missing}."]
    if not found.paths:
        return [
            "No path from the paper's default: no setting is recommended, or the model does not "
            "know both ends."
        ]
    return []


def path_text(found: LetteredPath) -> str:
    """The first change of a path and what it brings, in a sentence, and what the model ignores."""
    first, after = found.path.steps[0], found.path.steps[1]
    gains = [
        f"{label_of(name)} {points(after.predicted[name].mean - first.predicted[name].mean)}"
        for name in reversed(OBJECTIVES)
    ]
    robust = interval_text(after.predicted[OBJECTIVES[1]])
    kind = "measured too" if after.measured else "predicted"
    text = (
        f"To {found.letter}, {change_text(after)} comes first: {listed(gains)} points, to a robust "
        f"MAP of {robust} ({kind})."
    )
    if found.path.left_out:
        keys = listed(list(found.path.left_out))
        text += f" Both ends differ in {keys} too, which the search did not vary."
    return text


def _strongest(dependence: Sequence[Dependence]) -> str:
    """Which key each MAP changes most with, in a sentence."""
    parts = []
    for name in reversed(OBJECTIVES):
        spans = {one.key: _span(one) for one in dependence if one.metric == name}
        key = max(spans, key=lambda key: spans[key])
        most = f"with {parameter_symbol(key)} (by {100 * spans[key]:.1f} points)"
        parts.append(f"{label_of(name)} changes most {most}")
    return f"{capital(listed(parts))}."


def _span(one: Dependence) -> float:
    means = [estimate.mean for estimate in one.estimates]
    return max(means) - min(means)


def _weights(dependence: Sequence[Dependence]) -> str:
    """How the curves of λ and μ relate to the paper's."""
    keys = {one.key for one in dependence} & {"defense.lambda", "defense.mu"}
    if not keys:
        return ""
    names = listed([parameter_symbol(key) for key in sorted(keys)])
    return (
        f"The paper's Fig. 6 has such curves of {names}, with the other keys fixed instead of "
        "averaged over. "
    )
