"""Robust MAP on validation queries over the epochs of every explore trial."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.explored import bit_lengths, bits_label
from reports.figures.chart import NO_VALUES, Axis, Chart, Line, Mark, Panel, Points, Symbol, key
from reports.figures.style import NEUTRAL, colour
from reports.metric_columns import column_of
from reports.results import SearchResults, metric_column
from reports.wording import describe_setting
from saat.metrics import Phase

_SHOWN = "robust_map"
X_LABEL, Y_LABEL = "minimax epoch", f"{column_of(_SHOWN).label}, validation, short attack (%)"
NOTHING_TRAINED = "no finished epochs yet"
DEFAULT_LABEL = "paper's default (thick)"
_ENDS: dict[str, tuple[Symbol, str]] = {
    "stopped": ("x", "stopped early"),
    "failed": ("triangle", "failed"),
}
_THICK, _END_SIZE = 2.6, 8
_HOVER = "%{text}<br>epoch %{x}<br>robust %{y:.2f} %<extra></extra>"
_METRIC = metric_column(Phase.VALIDATION, _SHOWN)


class Curve(NamedTuple):
    """One trial."""

    trial_id: str
    setting: str
    series: int  # index of its code length
    is_default: bool
    status: str
    epochs: NDArray[np.float64]  # (E,) from 1
    robust_map: NDArray[np.float64]  # (E,) fraction


class LearningCurvesData(NamedTuple):
    """All curves, and the code lengths that their colours stand for."""

    labels: tuple[str, ...]  # code lengths
    curves: tuple[Curve, ...]


def learning_curves_data(results: SearchResults) -> LearningCurvesData:
    """Validation curves of explore trials; epochs without a value are left out."""
    explore = results.explore
    bits = bit_lengths(explore)
    lengths = sorted(set(bits))
    measured = results.epochs[results.epochs[_METRIC].notna()].sort_values("epoch")
    by_trial = {str(trial_id): rows for trial_id, rows in measured.groupby("trial_id")}
    curves = [
        Curve(
            trial_id=row["trial_id"],
            setting=describe_setting(row, results.space),
            series=lengths.index(length),
            is_default=row["role"] == "default",
            status=row["status"],
            epochs=by_trial[row["trial_id"]]["epoch"].to_numpy(dtype=np.float64),
            robust_map=by_trial[row["trial_id"]][_METRIC].to_numpy(dtype=np.float64),
        )
        for row, length in zip(explore.to_dict("records"), bits, strict=True)
        if row["trial_id"] in by_trial
    ]
    return LearningCurvesData(tuple(bits_label(length) for length in lengths), tuple(curves))


def learning_curves_chart(data: LearningCurvesData) -> Chart:
    """Curves of one look are one line: a thousand of them would take a browser seconds to draw."""
    if not data.curves:
        return Chart((), nothing=NOTHING_TRAINED)
    marks: list[Mark] = []
    # The default's last, above the others.
    for is_default, series in sorted({(curve.is_default, curve.series) for curve in data.curves}):
        mine = [c for c in data.curves if (c.is_default, c.series) == (is_default, series)]
        marks += _marks(mine, colour(series), data.labels[series], is_default)
    marks += [
        Line(NO_VALUES, NO_VALUES, colour(index), label) for index, label in enumerate(data.labels)
    ]
    if any(curve.is_default for curve in data.curves):
        marks.append(Line(NO_VALUES, NO_VALUES, NEUTRAL, DEFAULT_LABEL, width=_THICK))
    for status, (symbol, label) in _ENDS.items():
        if any(curve.status == status for curve in data.curves):
            marks.append(key(label, NEUTRAL, symbol=symbol, size=_END_SIZE))
    panel = Panel(marks, Axis(X_LABEL, scale="whole"), Axis(Y_LABEL))
    return Chart([panel], height=4.2, legend_columns=5)


def _marks(curves: list[Curve], shade: str, group: str, is_default: bool) -> Iterator[Mark]:
    """A line and the points of curves that look the same; the way in which some ended."""
    x, y = (
        np.concatenate([np.append(part, np.nan) for part in parts])
        for parts in ([c.epochs for c in curves], [100 * c.robust_map for c in curves])
    )
    texts = [f"{c.trial_id} ({c.status}): {c.setting}" for c in curves]
    counts = [len(curve.epochs) + 1 for curve in curves]
    look: Any = {"group": group, "opacity": 1.0 if is_default else 0.7}
    yield Line(x, y, shade, width=_THICK if is_default else 1.2, **look)
    yield Points(
        x, y, shade, size=2.5, edge="", texts=list(np.repeat(texts, counts)), hover=_HOVER, **look
    )
    for status, (symbol, _) in _ENDS.items():
        ends = [i for i, curve in enumerate(curves) if curve.status == status]
        yield Points(
            np.array([curves[i].epochs[-1] for i in ends]),
            np.array([100 * curves[i].robust_map[-1] for i in ends]),
            shade,
            symbol,
            size=_END_SIZE,
            group=group,
            texts=[texts[i] for i in ends],
            hover=_HOVER,
        )
