"""Robust MAP on validation queries over the epochs of every explore trial."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from reports.explored import bit_lengths, bits_label
from reports.figures.chart import (
    NO_VALUES,
    Axis,
    Chart,
    Line,
    Mark,
    Panel,
    Points,
    Symbol,
    Values,
    key,
)
from reports.figures.style import NEUTRAL, colour
from reports.metric_columns import column_of
from reports.results import SearchResults, metric_column
from reports.wording import describe_setting
from saat.metrics import Phase

_SHOWN = "robust_map"
_METRIC = metric_column(Phase.VALIDATION, _SHOWN)
_ENDS: dict[str, tuple[Symbol, str]] = {
    "stopped": ("x", "stopped early"),
    "failed": ("triangle", "failed"),
}
_THICK, _END_SIZE = 2.6, 8
_HOVER = "%{text}<br>epoch %{x}<br>robust %{y:.2f} %<extra></extra>"


class Curve(NamedTuple):
    """The learning curve of one trial."""

    text: str  # trial, status and setting
    bits: int
    is_default: bool
    status: str
    epochs: Values  # (E,) from 1
    robust_map: Values  # (E,) percent


def learning_curves(results: SearchResults) -> list[Curve]:
    """Validation curves of explore trials; epochs without a value are left out."""
    explore = results.explore
    measured = results.epochs[results.epochs[_METRIC].notna()].sort_values("epoch")
    by_trial = {str(trial_id): rows for trial_id, rows in measured.groupby("trial_id")}
    return [
        Curve(
            f"{row['trial_id']} ({row['status']}): {describe_setting(row, results.space)}",
            bits,
            row["role"] == "default",
            row["status"],
            by_trial[row["trial_id"]]["epoch"].to_numpy(dtype=np.float64),
            100 * by_trial[row["trial_id"]][_METRIC].to_numpy(dtype=np.float64),
        )
        for row, bits in zip(explore.to_dict("records"), bit_lengths(explore), strict=True)
        if row["trial_id"] in by_trial
    ]


def learning_curves_chart(results: SearchResults) -> Chart:
    """Draw all curves of one look as one line: a browser is slow to draw a thousand lines."""
    curves = learning_curves(results)
    if not curves:
        return Chart((), nothing="no finished epochs yet")
    shades = {bits: colour(i) for i, bits in enumerate(sorted(set(bit_lengths(results.explore))))}
    marks: list[Mark] = []
    # The default's curves come last, so that they are above the others.
    for is_default, bits in sorted({(curve.is_default, curve.bits) for curve in curves}):
        mine = [curve for curve in curves if (curve.is_default, curve.bits) == (is_default, bits)]
        marks += _marks(mine, shades[bits], bits_label(bits), is_default)
    marks += [Line(NO_VALUES, NO_VALUES, shades[bits], bits_label(bits)) for bits in shades]
    if any(curve.is_default for curve in curves):
        text = "paper's default (thick)"
        marks.append(Line(NO_VALUES, NO_VALUES, NEUTRAL, text, width=_THICK))
    for status, (symbol, label) in _ENDS.items():
        if any(curve.status == status for curve in curves):
            marks.append(key(label, NEUTRAL, symbol=symbol, size=_END_SIZE))
    y = Axis(f"{column_of(_SHOWN).label}, validation, short attack (%)")
    return Chart(
        [Panel(marks, Axis("minimax epoch", scale="whole"), y)], height=4.2, legend_columns=5
    )


def _marks(curves: list[Curve], shade: str, group: str, is_default: bool) -> Iterator[Mark]:
    """The line and the points of curves that look the same, and symbols at early ends."""
    x = np.concatenate([np.append(curve.epochs, np.nan) for curve in curves])
    y = np.concatenate([np.append(curve.robust_map, np.nan) for curve in curves])
    texts = [curve.text for curve in curves for _ in range(len(curve.epochs) + 1)]
    look: Any = {"group": group, "opacity": 1.0 if is_default else 0.7}
    yield Line(x, y, shade, width=_THICK if is_default else 1.2, **look)
    yield Points(x, y, shade, size=2.5, edge="", texts=texts, hover=_HOVER, **look)
    for status, (symbol, _) in _ENDS.items():
        ended = [curve for curve in curves if curve.status == status]
        yield Points(
            np.array([curve.epochs[-1] for curve in ended]),
            np.array([curve.robust_map[-1] for curve in ended]),
            shade,
            symbol=symbol,
            size=_END_SIZE,
            group=group,
            texts=[curve.text for curve in ended],
            hover=_HOVER,
        )
