"""MAP of confirmed settings over the radius of the attack, and over its iterations."""

from collections.abc import Iterator, Sequence

import numpy as np

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import (
    Area,
    Axis,
    Bound,
    Chart,
    Letters,
    Mark,
    Panel,
    Points,
    escape,
    percents,
)
from reports.figures.reference_lines import chance_line
from reports.figures.setting_line import setting_line
from reports.figures.style import NEUTRAL, colour
from reports.results import SearchResults
from reports.strengths import StrengthCurve, StrengthCurves
from saat.metrics import Phase

_LEVELS = 255  # of a byte, in which radii of the L∞ ball are written
_MAP = Axis("MAP (%)", limits=(0, 102))


def strengths_chart(
    results: SearchResults, configs: Sequence[ConfirmedConfig], curves: StrengthCurves
) -> Chart:
    """Draw MAP over ε beside MAP over iterations, with chance and the ε of the evaluation."""
    evaluation = results.section("evaluation")
    norm, eps = str(evaluation.get("norm") or "linf"), evaluation.get("eps")
    unit = _LEVELS if norm == "linf" else 1
    chance = list(chance_line([config.trials for config in configs], Phase.TEST))
    panels = []
    if curves.eps:
        marks: list[Mark] = [*chance]
        if isinstance(eps, int | float):
            marks.append(Bound(unit * eps, NEUTRAL, "ε of the evaluation"))
        marks += _marks(curves.eps, unit, "ε")
        radius = Axis({"linf": "ε (1/255)"}.get(norm, f"ε ({norm.upper()})"))
        panels.append(Panel(marks, radius, _MAP, "over the radius of the ball"))
    if curves.steps:
        marks = [*chance, *_marks(curves.steps, 1, "T")]
        steps = Axis("T, iterations (log scale)", "log")
        panels.append(Panel(marks, steps, _MAP, "over iterations, at the evaluation's ε"))
    return Chart(panels, width=4.5, height=4.6)


def _marks(curves: Sequence[StrengthCurve], unit: float, symbol: str) -> Iterator[Mark]:
    for index, curve in enumerate(curves):
        x, shade = unit * curve.strengths, colour(index)
        mean, low, high = percents(curve.maps, "mean", "low", "high")
        yield Area(x, low, high, shade, group=curve.label)
        yield setting_line(index, curve.label, x, mean)
        hover = f"{symbol} %{{x:.3g}}<br>MAP %{{y:.1f}} %<extra>{escape(curve.label)}</extra>"
        yield Points(x, mean, shade, group=curve.label, size=4, edge="", hover=hover)
    for curve in curves:
        if curve.letter:
            end = unit * curve.strengths[-1:], np.array([100 * curve.maps[-1].mean])
            yield Letters(*end, [curve.letter])
