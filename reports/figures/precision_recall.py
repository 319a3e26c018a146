"""Precision–recall curves of confirmed settings, clean and attacked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from reports.confirmed import ConfirmedSetting
from reports.figures.style import (
    colour,
    escape,
    legend_below,
    legend_label,
    message_interactive,
    message_static,
    new_interactive,
    new_static,
)
from reports.results import SearchResults, metric_column
from saat.metrics import Phase

X_LABEL, Y_LABEL = "recall (%)", "precision (%)"
RECALL_LEVELS: NDArray[np.float64] = np.linspace(0.025, 1.0, 40)
NO_HISTOGRAMS = "no distance histograms of confirmed trials yet"
PANELS = ("clean queries", "queries under the strongest attack")
_DASHES = (("-", "solid"), ("--", "dash"), (":", "dot"), ("-.", "dashdot"))


class PrecisionRecallCurve(NamedTuple):
    """One setting, averaged over queries and seeds; fractions at `RECALL_LEVELS`."""

    label: str
    clean: NDArray[np.float64]  # (L,)
    attacked: NDArray[np.float64]  # (L,)
    attack: str


def precision_at_recall(
    total: ArrayLike, relevant: ArrayLike, levels: ArrayLike = RECALL_LEVELS
) -> NDArray[np.float64]:
    """Precision at recall levels from distance histograms, ties in random order.

    After a cut inside a block of equal distance, the expected number of relevant items grows
    linearly, so expected recall and expected precision of every cut are exact (McSherry &
    Najork 2008); a level is read at the first cut whose expected recall reaches it. Recall is over
    all relevant items of the database. A query without any counts with precision 0 at every level,
    as it counts with AP 0 in MAP.

    Args:
        total: ``(Q, K+1)`` database items at each Hamming distance.
        relevant: ``(Q, K+1)`` relevant ones among them.
        levels: ``(L,)`` recalls in (0, 1].

    Returns:
        ``(L,)`` float64, the mean over all queries; NaN where there is none.
    """
    counts, hits = (np.asarray(a, dtype=np.float64) for a in (total, relevant))
    levels, queries = np.asarray(levels, dtype=np.float64), len(hits)
    if not queries:
        return np.full(len(levels), np.nan)
    counts, hits = (array[hits.sum(axis=1) > 0] for array in (counts, hits))
    found, ranked = hits.cumsum(axis=1), counts.cumsum(axis=1)
    means = np.empty(len(levels))
    for i, level in enumerate(levels):
        wanted = level * found[:, -1:]
        # Products of a level round; the last block must still be found at recall 1.
        block = np.argmax(found >= wanted * (1 - 1e-12), axis=1)[:, None]
        n, r = np.take_along_axis(counts, block, 1), np.take_along_axis(hits, block, 1)
        before = np.take_along_axis(found, block, 1) - r
        cut = np.take_along_axis(ranked, block, 1) - n + n * (wanted - before) / r
        means[i] = (wanted / cut).sum() / queries
    return means


def precision_recall_data(
    results: SearchResults, settings: Sequence[ConfirmedSetting]
) -> tuple[PrecisionRecallCurve, ...]:
    """Curves of the settings of this search that kept histograms."""
    curves = []
    for setting in settings:
        found = [_trial_curves(results, row) for row in setting.trials.to_dict("records")]
        kept = [curve for curve in found if curve is not None]
        if kept:
            curves.append(
                PrecisionRecallCurve(
                    label=setting.label,
                    clean=np.mean([clean for clean, _, _ in kept], axis=0),
                    attacked=np.mean([attacked for _, attacked, _ in kept], axis=0),
                    attack=", ".join(sorted({attack for _, _, attack in kept})),
                )
            )
    return tuple(curves)


def _trial_curves(
    results: SearchResults, row: dict
) -> tuple[NDArray[np.float64], NDArray[np.float64], str] | None:
    histograms = results.histograms(row["trial_id"])
    if histograms is None or "clean_total" not in histograms:
        return None
    names = [name.removesuffix("_total") for name in histograms if name.endswith("_total")]
    maps = {
        name: row.get(metric_column(Phase.TEST, f"map.{name}"), np.nan)
        for name in names
        if name != "clean"
    }
    known = {name: value for name, value in maps.items() if not np.isnan(value)}
    if not known:
        return None
    attack = min(known, key=known.__getitem__)
    clean, attacked = (
        precision_at_recall(histograms[f"{name}_total"], histograms[f"{name}_relevant"])
        for name in ("clean", attack)
    )
    return clean, attacked, attack


def precision_recall_static(curves: Sequence[PrecisionRecallCurve]) -> Figure:
    """Draw both panels with matplotlib."""
    if not curves:
        return message_static(NO_HISTOGRAMS)
    figure = new_static(width=8.6, height=4.4)
    left = figure.add_subplot(1, 2, 1, xlabel=X_LABEL, ylabel=Y_LABEL, title=PANELS[0])
    right = figure.add_subplot(1, 2, 2, sharex=left, sharey=left, xlabel=X_LABEL, title=PANELS[1])
    for index, curve in enumerate(curves):
        for axes, precision in ((left, curve.clean), (right, curve.attacked)):
            style = _DASHES[index // 6 % len(_DASHES)][0]
            axes.plot(
                100 * RECALL_LEVELS,
                100 * precision,
                style,
                color=colour(index),
                lw=1.8,
                label=legend_label(curve.label),
            )
    left.set(xlim=(0, 100), ylim=(0, 100))
    legend_below(figure)
    return figure


def precision_recall_interactive(curves: Sequence[PrecisionRecallCurve]) -> list[go.Figure]:
    """Draw one figure for clean and one for attacked queries with plotly."""
    if not curves:
        return [message_interactive(NO_HISTOGRAMS)]
    figures = [new_interactive(X_LABEL, Y_LABEL, height=460, title=title) for title in PANELS]
    for index, curve in enumerate(curves):
        for figure, precision, note in zip(
            figures, (curve.clean, curve.attacked), ("clean", curve.attack), strict=True
        ):
            figure.add_scatter(
                x=100 * RECALL_LEVELS,
                y=100 * precision,
                mode="lines",
                line={"color": colour(index), "dash": _DASHES[index // 6 % len(_DASHES)][1]},
                name=escape(curve.label),
                showlegend=True,
                hovertemplate="recall %{x:.0f} %<br>precision %{y:.1f} %<extra>"
                + escape(f"{curve.label} ({note})")
                + "</extra>",
            )
    for figure in figures:
        figure.update_xaxes(range=[0, 100])
        figure.update_yaxes(range=[0, 100])
    return figures
