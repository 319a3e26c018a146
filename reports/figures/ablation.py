"""From the paper's default to each recommended setting, one changed key at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from reports.explanation import AblationPath, Estimate, PathStep
from reports.figures.chart import (
    Axis,
    Chart,
    Letters,
    Line,
    Mark,
    Panel,
    Points,
    Values,
    escape,
    percents,
)
from reports.figures.style import OBJECTIVE_SYMBOLS, colour
from reports.objectives import label_of
from reports.results import SearchResults
from reports.wording import letter_at, parameter_symbol, parameter_value
from saat.metrics import OBJECTIVES

START = "paper's default"
_BESIDE = 0.12  # of a row, by which metrics lie above and below its middle


class LetteredPath(NamedTuple):
    """A path, and the letter of the setting that it leads to."""

    letter: str
    path: AblationPath


def lettered_paths(results: SearchResults) -> list[LetteredPath]:
    """The paths of a search; a setting that is not confirmed yet has the letter of its place."""
    paths = results.explanation.paths if results.explanation else ()
    return [
        LetteredPath(results.letters.get(path.config_hash, letter_at(index)), path)
        for index, path in enumerate(paths)
    ]


def change_text(step: PathStep) -> str:
    """What a step changes: ``λ: 1 → 2.31``; the default where it changes nothing."""
    changes = [
        f"{parameter_symbol(key)}: {parameter_value(key, before)} → {parameter_value(key, now)}"
        for key, (before, now) in step.changed.items()
    ]
    return ", ".join(changes) or START


def ablation_chart(results: SearchResults) -> Chart:
    """Draw a panel for every path, its first setting on top.

    Filled symbols are measured, open ones with a bar are predicted; lines join the predictions.
    """
    paths = lettered_paths(results)
    rows = max((len(found.path.steps) for found in paths), default=0)
    panels = [_panel(*found) for found in paths]
    return Chart(panels, width=4.9, height=1.7 + 0.42 * rows, legend_columns=2)


def _panel(letter: str, path: AblationPath) -> Panel:
    texts = [change_text(step) for step in path.steps]
    texts[-1] += f" = {letter}"
    marks: list[Mark] = []
    for index in range(len(OBJECTIVES)):
        marks += _marks(path, index)
    end = path.steps[-1].measured.get(OBJECTIVES[-1])
    if end is not None:  # its letter stands at robust MAP, in the last row
        marks.append(Letters(np.array([100 * end]), np.array([-_BESIDE]), [letter]))
    y = Axis(categories=tuple(reversed(texts)), limits=(-0.6, len(texts) - 0.4))
    return Panel(marks, Axis("MAP, validation (%)"), y, f"to {letter}, one change after the other")


def _marks(path: AblationPath, index: int) -> Iterator[Mark]:
    """Predictions and measurements of the index-th objective, beside those of the others."""
    name, shade, symbol = OBJECTIVES[index], colour(index), OBJECTIVE_SYMBOLS[index]
    label, beside = label_of(name), _BESIDE * (1 - 2 * index)
    heights: Values = np.arange(len(path.steps), dtype=np.float64)[::-1] + beside
    predicted = [step.predicted[name] for step in path.steps]
    mean, low, high = percents(predicted, "mean", "low", "high")
    yield Line(mean, heights, shade, group=label, width=1.2, opacity=0.6)
    yield Points(
        mean,
        heights,
        shade,
        f"{label}, predicted",
        group=label,
        symbol=symbol,
        is_open=True,
        size=7,
        x_error=np.array([mean - low, high - mean]),
        texts=[interval_text(estimate) for estimate in predicted],
        hover="predicted %{text}<extra>" + escape(label) + "</extra>",
    )
    rows = [row for row, step in enumerate(path.steps) if name in step.measured]
    yield Points(
        np.array([100 * path.steps[row].measured[name] for row in rows]),
        heights[rows],
        shade,
        f"{label}, measured",
        group=label,
        symbol=symbol,
        size=8,
        hover="measured %{x:.1f} %<extra>" + escape(label) + "</extra>",
    )


def interval_text(estimate: Estimate) -> str:
    """A prediction with its interval: ``61.2 % [58.0, 64.4]``."""
    return f"{100 * estimate.mean:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
