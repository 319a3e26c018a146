"""Chance and the theoretical floor, as lines in figures."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from reports.explored import chance_levels
from reports.figures.chart import Band
from reports.figures.style import NEUTRAL
from reports.results import metric_column
from reports.wording import percent
from saat.metrics import REFERENCES, Phase


def chance_line(frames: Sequence[pd.DataFrame], phase: Phase) -> Iterator[Band]:
    """MAP of a random order, where the trials have it."""
    column = metric_column(phase, REFERENCES[0])
    chance = np.concatenate([*(f[column].to_numpy(np.float64) for f in frames), np.empty(0)])
    chance = chance[~np.isnan(chance)]
    if len(chance):
        # Chance depends on labels alone, so under one protocol all trials agree.
        level = float(np.median(chance))
        shown = f"chance, random order: {percent(level)}"
        yield Band(100 * level, 100 * level, "#555555", shown, "dot")


def reference_lines(frames: Sequence[pd.DataFrame], phase: Phase) -> Iterator[Band]:
    """The references for the robust MAP of trials: chance, and the range of the floor."""
    yield from chance_line(frames, phase)
    column = metric_column(phase, REFERENCES[1])
    floor = np.concatenate([*(f[column].to_numpy(np.float64) for f in frames), np.empty(0)])
    # A collapsed network is left out: its floor is chance under every attack.
    low = np.concatenate([*(chance_levels(frame) for frame in frames), np.empty((0, 2), bool)])
    floor = floor[~low[:, 0] & ~np.isnan(floor)]
    if len(floor):
        ends = float(floor.min()), float(floor.max())
        first, last = map(percent, ends)
        shown = f"theoretical floor: {first if first == last else f'{first[:-2]}–{last}'}"
        yield Band(100 * ends[0], 100 * ends[1], NEUTRAL, shown)
