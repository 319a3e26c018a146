"""Objectives on validation queries over the epochs of every explore trial."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from reports.explored import bit_lengths, bits_label
from reports.figures.chart import (
    NO_VALUES,
    Axis,
    Bound,
    Chart,
    Letters,
    Line,
    Mark,
    Panel,
    Points,
    Symbol,
    Values,
    key,
)
from reports.figures.style import NEUTRAL, colour
from reports.objectives import hover_of, is_parameter, label_of, scale_of, with_unit
from reports.results import SearchResults, metric_column
from reports.stopping import stop_labels
from reports.wording import describe_setting, is_probe
from saat.feasibility import Aims
from saat.metrics import METRICS, OBJECTIVES, Phase

_, _ROBUST = OBJECTIVES
_ENDS: dict[str, tuple[Symbol, str]] = {
    "stopped": ("x", "stopped at a rung"),
    "probe": ("diamond", "a probe, which ends early"),
    "failed": ("triangle", "failed"),
}
_THICK, _END_SIZE = 2.6, 8


class Curve(NamedTuple):
    """The learning curve of one trial."""

    text: str  # trial, status and setting
    key: str  # `SearchResults.keys_on`
    bits: int
    is_default: bool
    status: str  # of the trial, or ``probe`` of one that was stopped because it was a probe
    letter: str  # of a recommended setting
    epochs: Values  # (E,) from 1
    values: Values  # (E,) in the metric's own unit


def shown_objectives(aims: Aims) -> list[str]:
    """What the learning curves show: objectives that validation measures and training changes.

    Robust MAP is always measured, and shown where there is none at all.
    """
    found = [
        aims.names[i]
        for i in aims.validated
        if not is_parameter(aims.names[i]) and not METRICS[aims.names[i]].of_trial
    ]
    return found or [_ROBUST]


def learning_curves(results: SearchResults, name: str = _ROBUST) -> list[Curve]:
    """Validation curves of explore trials in a metric; epochs without a value are left out."""
    explore, column = results.explore, metric_column(Phase.VALIDATION, name)
    if column not in results.epochs:
        return []
    measured = results.epochs[results.epochs[column].notna()].sort_values("epoch")
    marks = results.keys_on(explore), results.letters_on(explore)
    by_trial = {str(trial_id): rows for trial_id, rows in measured.groupby("trial_id")}
    return [
        Curve(
            f"{row['trial_id']} ({row['status']}): {describe_setting(row, results.space)}",
            setting,
            bits,
            row["role"] == "default",
            "probe" if is_probe(row["stop_reason"]) else row["status"],
            letter,
            by_trial[row["trial_id"]]["epoch"].to_numpy(dtype=np.float64),
            by_trial[row["trial_id"]][column].to_numpy(dtype=np.float64),
        )
        for row, bits, setting, letter in zip(
            explore.to_dict("records"), bit_lengths(explore), *marks, strict=True
        )
        if row["trial_id"] in by_trial
    ]


def learning_curves_chart(results: SearchResults) -> Chart:
    """A panel for every objective of `shown_objectives`."""
    drawn = [
        (name, curves)
        for name in shown_objectives(results.aims)
        if (curves := learning_curves(results, name))
    ]
    if not drawn:
        return Chart((), nothing="no finished epochs yet")
    panels = [_panel(results, name, curves) for name, curves in drawn]
    return Chart(panels, width=7.16 if len(panels) == 1 else 4.6, height=4.2, legend_columns=4)


def _panel(results: SearchResults, name: str, curves: Sequence[Curve]) -> Panel:
    """Draw all curves of one look as one line: a browser is slow to draw a thousand lines."""
    shades = {bits: colour(i) for i, bits in enumerate(sorted(set(bit_lengths(results.explore))))}
    marks: list[Mark] = []
    # The default's curves come last, so that they are above the others.
    for is_default, bits in sorted({(curve.is_default, curve.bits) for curve in curves}):
        mine = [curve for curve in curves if (curve.is_default, curve.bits) == (is_default, bits)]
        marks += _marks(name, mine, shades[bits], bits_label(bits), is_default)
    marks += [Line(NO_VALUES, NO_VALUES, shades[bits], bits_label(bits)) for bits in shades]
    if any(curve.is_default for curve in curves):
        text = "paper's default (thick)"
        marks.append(Line(NO_VALUES, NO_VALUES, NEUTRAL, text, width=_THICK))
    marks += [Bound(epoch, NEUTRAL, label) for epoch, label in stop_labels(results).items()]
    for status, (symbol, label) in _ENDS.items():
        if any(curve.status == status for curve in curves):
            marks.append(key(label, NEUTRAL, symbol=symbol, size=_END_SIZE))
    scale = scale_of(name, NO_VALUES)
    ends = [(c.epochs[-1], scale.factor * c.values[-1], c.letter) for c in curves if c.letter]
    if ends:
        x, y, texts = zip(*ends, strict=True)
        marks.append(Letters(np.array(x), np.array(y), texts))
    label = f"{label_of(name)}, validation, short attack"
    axis = Axis(with_unit(label, scale.symbol))
    return Panel(marks, Axis("minimax epoch", scale="whole"), axis)


def _marks(
    name: str, curves: list[Curve], shade: str, group: str, is_default: bool
) -> Iterator[Mark]:
    """The line and the points of curves that look the same, and symbols at early ends."""
    scale = scale_of(name, NO_VALUES)
    hover = f"%{{text}}<br>epoch %{{x}}<br>{hover_of([('y', name, scale)])}<extra></extra>"
    x = np.concatenate([np.append(curve.epochs, np.nan) for curve in curves])
    y = scale.factor * np.concatenate([np.append(curve.values, np.nan) for curve in curves])
    # A point an epoch, and the gap after them.
    texts, keys = (
        [part for curve in curves for part in [getattr(curve, name)] * (len(curve.epochs) + 1)]
        for name in ("text", "key")
    )
    look: Any = {"group": group, "opacity": 1.0 if is_default else 0.7, "keys": keys}
    yield Line(x, y, shade, width=_THICK if is_default else 1.2, **look)
    yield Points(x, y, shade, size=2.5, edge="", texts=texts, hover=hover, **look)
    for status, (symbol, _) in _ENDS.items():
        ended = [curve for curve in curves if curve.status == status]
        yield Points(
            np.array([curve.epochs[-1] for curve in ended]),
            scale.factor * np.array([curve.values[-1] for curve in ended], dtype=np.float64),
            shade,
            symbol=symbol,
            size=_END_SIZE,
            group=group,
            texts=[curve.text for curve in ended],
            keys=[curve.key for curve in ended],
            hover=hover,
        )
