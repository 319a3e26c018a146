"""The paper's curves: precision over recall (Fig. 3), of the first N (Fig. 4), λ and μ (Fig. 6)."""

from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from statistics import mode
from typing import Any

import numpy as np
import pandas as pd

from reports.figures.chart import Axis, Band, Chart, Dash, Line, Panel, Points
from reports.figures.style import NEUTRAL, colour, shape
from reports.paper.cells import Cell, cell_at
from reports.paper.declared import Item, run_named
from reports.paper.grid import label
from reports.paper.measured import Measured
from saat.curves import RECALL_LEVELS, precision_at_depth, precision_at_recall

DEPTHS = np.arange(100, 1001, 100)
_AXES = {
    "precision_recall": (Axis("recall (%)", limits=(0, 100)), Axis("precision (%)")),
    "precision_at": (Axis("N"), Axis("precision of the first N (%)")),
    "lambda": (Axis("λ", "log"), Axis("MAP (%)")),
    "mu": (Axis("μ", "log"), Axis("MAP (%)")),
}


def curves(item: Item, measured: Measured) -> pd.DataFrame:
    """Points of all curves: ``panel``, ``attack``, ``x``, ``y`` (%)."""
    rows = [
        {"panel": panel, "attack": attack, "x": x, "y": y}
        for panel, attacks in item.panels.items()
        for attack in attacks
        for x, y in _points(item, measured, panel, attack)
    ]
    return pd.DataFrame(rows, columns=["panel", "attack", "x", "y"])


def curves_chart(item: Item, measured: Measured) -> Chart:
    """Draw the curves, a panel beside the other."""
    frame, panels = curves(item, measured), []
    everyone = [attack for attacks in item.panels.values() for attack in attacks]
    places = {attack: place for place, attack in enumerate(dict.fromkeys(everyone))}
    for title, attacks in item.panels.items():
        marks: list[Any] = []
        for attack in attacks:
            own = frame[(frame["panel"] == title) & (frame["attack"] == attack)]
            if own.empty:
                continue
            x, y = (own[axis].to_numpy(dtype=np.float64) for axis in ("x", "y"))
            index = places[attack] - ("none" in places)  # benign queries have a colour of no attack
            own_colour = NEUTRAL if attack == "none" else colour(index)
            own_dash: Dash = "solid" if attack == "none" else shape(index)[1]
            name = label("attack", attack)
            marks.append(Line(x, y, own_colour, name, width=1.8, dash=own_dash))
            if item.kind == "weights":
                marks.append(Points(x, y, own_colour))
        if marks and item.kind == "weights":
            marks += _chance(item, measured)
        x_axis, y_axis = _AXES[title if item.kind == "weights" else item.kind]
        if item.kind == "weights":  # one scale in both panels: differences at chance are small
            y_axis = replace(y_axis, limits=(0.0, 1.05 * frame["y"].max()))
        if marks:
            panels.append(Panel(marks, x_axis, y_axis, title))
    return Chart(panels, width=4.6, height=4.4, nothing="not run yet")


def _points(
    item: Item, measured: Measured, panel: str, attack: str
) -> Iterator[tuple[float, float]]:
    if item.kind == "weights":
        for x, cell in weight_cells(item, panel, attack):
            found = measured.value(item, cell)
            if not found.missing:
                yield x, found.number
        return
    stored = measured.histograms(item, cell_at({**item.fixed, "attack": attack}))
    if stored is None:
        return
    total, relevant = stored["total"], stored["relevant"]
    if item.kind == "precision_recall":
        precision = precision_at_recall(total, relevant)
        yield from zip(100 * RECALL_LEVELS, 100 * precision, strict=True)
    else:
        depths = DEPTHS[total.sum(axis=1).min() >= DEPTHS]
        precision = precision_at_depth(total, relevant, depths)
        yield from zip(depths.astype(float), 100 * precision, strict=True)


def _chance(item: Item, measured: Measured) -> list[Band]:
    """The MAP of a random order, which robust MAP is read beside."""
    cell = weight_cells(item, "lambda", "none")[0][1]
    found = measured.metric(item.source(cell), cell.setting, "chance_map")
    if found.missing:
        return []
    return [Band(found.number, found.number, NEUTRAL, "MAP of a random order")]


def weight_cells(item: Item, key: str, attack: str) -> list[tuple[float, Cell]]:
    """The cells of a curve over λ or μ, by its value: all settings with the other at its default.

    The declared run has one value of the other key wherever this one varies.
    """
    settings = [s for name in item.runs for s in run_named(name).settings]
    weights = {setting: setting.weights for setting in settings if setting.weights is not None}
    own = 0 if key == "lambda" else 1
    usual = mode(pair[1 - own] for pair in weights.values())
    found = [(pair[own], Cell(s, attack)) for s, pair in weights.items() if pair[1 - own] == usual]
    return sorted(found, key=itemgetter(0))


def count_collapsed(item: Item, measured: Measured) -> tuple[int, int]:
    """Models of Fig. 6 whose clean MAP is not above chance, and all that were trained."""
    cells = {cell for key in item.panels for _, cell in weight_cells(item, key, "none")}
    found = [measured.value(item, cell) for cell in cells]
    return sum(one.collapsed for one in found), sum(not one.missing for one in found)
