"""The importance of each searched key for each objective."""

from collections.abc import Sequence

import numpy as np

from reports.explanation import KeyImportance
from reports.figures.chart import Axis, Chart, Mark, Panel, Points, percents
from reports.figures.style import OBJECTIVE_SYMBOLS, colour
from reports.objectives import label_of


def importance_chart(importances: Sequence[KeyImportance]) -> Chart:
    """Draw the share of each key, a symbol an objective, the most important key on top."""
    objectives = list(dict.fromkeys(found.objective for found in importances))
    largest: dict[str, float] = {}
    for found in importances:
        largest[found.key] = max(found.share, largest.get(found.key, 0.0))
    keys = sorted(largest, key=largest.__getitem__)
    if not keys:
        return Chart(())
    marks: list[Mark] = []
    for index, objective in enumerate(objectives):
        mine = [found for found in importances if found.objective == objective]
        share, low, high = percents(mine, "share", "low", "high")
        # Objectives lie beside each other, so that their bars can be told apart.
        beside = 0.16 * (index - (len(objectives) - 1) / 2)
        marks.append(
            Points(
                share,
                np.array([keys.index(found.key) - beside for found in mine]),
                colour(index),
                label_of(objective),
                symbol=OBJECTIVE_SYMBOLS[index],
                size=7,
                x_error=np.maximum([share - low, high - share], 0.0),
                texts=[found.key for found in mine],
                hover="%{text}<br>%{x:.0f} %<extra>" + label_of(objective) + "</extra>",
            )
        )
    x = Axis("share of the importance of all keys (%)", limits=(-2, 102))
    y = Axis(categories=keys, limits=(-0.6, len(keys) - 0.4))
    return Chart([Panel(marks, x, y)], height=1.6 + 0.45 * len(keys))
