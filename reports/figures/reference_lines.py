"""Chance and the theoretical floor, as lines in figures."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports.explored import chance_levels
from reports.figures.chart import Band, Level
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


def lines_of(lines: ReferenceLines) -> Iterator[Level | Band]:
    """Chance and the range of the theoretical floor as marks of a chart in percent."""
    if not np.isnan(lines.chance):
        yield Level(100 * lines.chance, "#555555", _chance_label(lines), "dot")
    low, high = 100 * lines.floor_low, 100 * lines.floor_high
    if low < high:
        yield Band(low, high, NEUTRAL, _floor_label(lines))
    elif low == high:
        yield Level(low, NEUTRAL, _floor_label(lines))


def _chance_label(lines: ReferenceLines) -> str:
    return f"chance, random order: {percent(lines.chance)}"


def _floor_label(lines: ReferenceLines) -> str:
    low, high = percent(lines.floor_low), percent(lines.floor_high)
    return f"theoretical floor: {low if low == high else f'{low[:-2]}–{high}'}"
