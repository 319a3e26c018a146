"""Chance and the theoretical floor, as lines in figures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes

from reports.explored import chance_levels
from reports.figures.style import NEUTRAL
from reports.results import metric_column
from reports.wording import percent
from saat.metrics import REFERENCES, Phase


class ReferenceLines(NamedTuple):
    """What a robust MAP must be read against; fractions, NaN where unknown."""

    chance: float
    floor_low: float  # lowest and highest theoretical floor of the trials
    floor_high: float


def reference_lines(frames: Sequence[pd.DataFrame], phase: Phase) -> ReferenceLines:
    """Chance and theoretical floor under the full protocol over the given trials."""
    columns = [metric_column(phase, name) for name in REFERENCES]
    values = [frame[columns].to_numpy(dtype=np.float64) for frame in frames]
    chance, floor = np.concatenate([*values, np.empty((0, 2))]).T
    # The floor of a collapsed network is chance, whatever attacks it.
    low = np.concatenate([*(chance_levels(frame) for frame in frames), np.empty((0, 2), bool)])
    floor = floor[~low[:, 0]]
    chance, floor = chance[~np.isnan(chance)], floor[~np.isnan(floor)]
    return ReferenceLines(
        # Chance depends on labels alone, so under one protocol all trials agree.
        chance=float(np.median(chance)) if len(chance) else np.nan,
        floor_low=float(floor.min()) if len(floor) else np.nan,
        floor_high=float(floor.max()) if len(floor) else np.nan,
    )


def draw_lines_static(axes: Axes, lines: ReferenceLines) -> None:
    """Draw chance and the range of the theoretical floor into matplotlib axes."""
    if not np.isnan(lines.chance):
        axes.axhline(
            100 * lines.chance, color="#444444", ls=":", lw=1.4, label=_chance_label(lines)
        )
    low, high = 100 * lines.floor_low, 100 * lines.floor_high
    if low < high:
        axes.axhspan(low, high, color=NEUTRAL, alpha=0.3, lw=1, label=_floor_label(lines))
    elif low == high:
        axes.axhline(low, color=NEUTRAL, ls="--", lw=1.4, label=_floor_label(lines))


def draw_lines_interactive(figure: go.Figure, lines: ReferenceLines) -> None:
    """Draw chance and the range of the theoretical floor into a plotly figure."""
    chance, low, high = (100 * value for value in lines)
    dotted = {"color": NEUTRAL, "dash": "dot", "width": 1.6}
    dashed = {"color": NEUTRAL, "dash": "dash", "width": 1.6}
    chance_legend = {"name": _chance_label(lines), "showlegend": True}
    floor_legend = {"name": _floor_label(lines), "showlegend": True}
    if not np.isnan(chance):
        figure.add_hline(y=chance, line=dotted, **chance_legend)
    if low < high:
        figure.add_hrect(
            y0=low, y1=high, fillcolor=NEUTRAL, opacity=0.3, line={"width": 0}, **floor_legend
        )
    elif low == high:
        figure.add_hline(y=low, line=dashed, **floor_legend)
    # Lines do not widen an axis by themselves, and these two must be seen.
    known = [value - 1 for value in (chance, low) if not np.isnan(value)]
    figure.update_yaxes(autorangeoptions_include=known)


def _chance_label(lines: ReferenceLines) -> str:
    return f"chance, random order: {percent(lines.chance)}"


def _floor_label(lines: ReferenceLines) -> str:
    low, high = percent(lines.floor_low), percent(lines.floor_high)
    return f"theoretical floor: {low if low == high else f'{low[:-2]}–{high}'}"
