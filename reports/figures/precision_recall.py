"""Precision–recall curves of confirmed settings, clean and attacked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import Axis, Chart, Dash, Line, Panel, escape
from reports.figures.style import PALETTE, colour
from reports.results import SearchResults, metric_column
from saat.curves import RECALL_LEVELS, precision_at_recall
from saat.metrics import Phase

X_LABEL, Y_LABEL = "recall (%)", "precision (%)"
NO_HISTOGRAMS = "no distance histograms of confirmed trials yet"
PANELS = ("clean queries", "queries under the strongest attack")
_DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")


class PrecisionRecallCurve(NamedTuple):
    """One setting, averaged over queries and seeds; fractions at `RECALL_LEVELS`."""

    label: str
    clean: NDArray[np.float64]  # (L,)
    attacked: NDArray[np.float64]  # (L,)
    attack: str


def precision_recall_data(
    results: SearchResults, configs: Sequence[ConfirmedConfig]
) -> tuple[PrecisionRecallCurve, ...]:
    """Curves of the settings of this search that kept histograms."""
    curves = []
    for config in configs:
        found = [_trial_curves(results, row) for row in config.trials.to_dict("records")]
        kept = [curve for curve in found if curve is not None]
        if kept:
            curves.append(
                PrecisionRecallCurve(
                    label=config.label,
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


def precision_recall_chart(curves: Sequence[PrecisionRecallCurve]) -> Chart:
    """Clean queries beside attacked ones."""
    if not curves:
        return Chart((), nothing=NO_HISTOGRAMS)
    panels = []
    for title, is_clean in zip(PANELS, (True, False), strict=True):
        marks = [
            Line(
                100 * RECALL_LEVELS,
                100 * (curve.clean if is_clean else curve.attacked),
                colour(index),
                curve.label,
                width=1.8,
                dash=_DASHES[index // len(PALETTE) % len(_DASHES)],
                hover="recall %{x:.0f} %<br>precision %{y:.1f} %<extra>"
                + escape(f"{curve.label} ({'clean' if is_clean else curve.attack})")
                + "</extra>",
            )
            for index, curve in enumerate(curves)
        ]
        whole = (0, 100)
        panels.append(Panel(marks, Axis(X_LABEL, limits=whole), Axis(Y_LABEL, limits=whole), title))
    return Chart(panels, width=4.3, height=4.4)
