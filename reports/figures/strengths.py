"""MAP of confirmed settings over the radius of the attack, and over its iterations."""

from collections.abc import Iterator, Sequence

import numpy as np

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import Area, Axis, Bound, Chart, Letters, Line, Mark, Panel, escape
from reports.figures.precision_recall import dash_of
from reports.figures.reference_lines import chance_line
from reports.figures.style import NEUTRAL, colour
from reports.results import SearchResults
from reports.strengths import StrengthCurve, strength_curves
from saat.metrics import Phase

_LEVELS = 255  # of a byte, in which radii of the L∞ ball are written


def strengths_chart(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw MAP over ε beside MAP over iterations, with chance and the ε of the evaluation."""
    evaluation = results.section("evaluation")
    norm = str(evaluation.get("norm") or "linf")
    unit = _LEVELS if norm == "linf" else 1
    chance = list(chance_line([config.trials for config in configs], Phase.TEST))
    shown = {"linf": "ε (1/255)", "l2": "ε (L2)", "l1": "ε (L1)"}.get(norm, "ε")
    panels = []
    if by_radius := strength_curves(results, configs, "eps"):
        eps = evaluation.get("eps")
        known = isinstance(eps, int | float)
        own = [Bound(unit * eps, NEUTRAL, "ε of the evaluation")] if known else []
        marks = [*chance, *own, *_marks(by_radius, unit, "ε")]
        panels.append(Panel(marks, Axis(shown), _MAP, "over the radius of the ball"))
    if by_steps := strength_curves(results, configs, "steps"):
        marks = [*chance, *_marks(by_steps, 1, "T")]
        steps = Axis("T, iterations (log scale)", "log")
        panels.append(Panel(marks, steps, _MAP, "over iterations, at the evaluation's ε"))
    return Chart(panels, width=4.5, height=4.6, nothing="no trial kept its curves")


_MAP = Axis("MAP (%)", limits=(0, 102))


def _marks(curves: Sequence[StrengthCurve], unit: float, symbol: str) -> Iterator[Mark]:
    for index, curve in enumerate(curves):
        x = unit * curve.strengths
        mean, low, high = (100 * np.array(part) for part in zip(*curve.maps, strict=True))
        yield Area(x, low, high, colour(index), group=curve.label)
        hover = f"{symbol} %{{x:.3g}}<br>MAP %{{y:.1f}} %<extra>{escape(curve.label)}</extra>"
        look = {"width": 1.8, "dash": dash_of(index), "hover": hover}
        yield Line(x, mean, colour(index), curve.label, **look)
    for curve in curves:
        if curve.letter:
            last = 100 * curve.maps[-1].mean
            x = unit * curve.strengths[-1:]
            yield Letters(x, np.array([last]), [curve.letter])
