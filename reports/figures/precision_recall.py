"""Precision–recall curves of confirmed settings, clean and attacked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import Axis, Chart, Dash, Line, Panel, Values, escape
from reports.figures.style import PALETTE, colour
from reports.results import SearchResults, metric_column
from saat.curves import RECALL_LEVELS, precision_at_recall
from saat.metrics import Phase

_DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")


class PrecisionRecallCurve(NamedTuple):
    """Curves averaged over queries, as fractions at `RECALL_LEVELS`."""

    clean: Values  # (L,)
    attacked: Values  # (L,)
    attack: str


def precision_recall_curves(
    results: SearchResults, configs: Sequence[ConfirmedConfig]
) -> list[tuple[str, PrecisionRecallCurve]]:
    """Pairs (label, curves) of the settings with stored histograms, averaged over seeds."""
    curves = []
    for config in configs:
        found = (_trial_curves(results, row) for row in config.trials.to_dict("records"))
        kept = [curve for curve in found if curve]
        if kept:
            clean, attacked, attacks = zip(*kept, strict=True)
            names = ", ".join(sorted({*attacks}))
            means = np.mean(clean, axis=0), np.mean(attacked, axis=0)
            curves.append((config.label, PrecisionRecallCurve(*means, names)))
    return curves


def _trial_curves(results: SearchResults, row: dict[Any, Any]) -> PrecisionRecallCurve | None:
    """Curves of a trial, under the attack with the lowest MAP of those with histograms."""
    histograms = results.histograms(row["trial_id"])
    if histograms is None or "clean_total" not in histograms:
        return None
    names = [name.removesuffix("_total") for name in histograms if name.endswith("_total")]
    maps = {name: row.get(metric_column(Phase.TEST, f"map.{name}"), np.nan) for name in names}
    known = [name for name in names if name != "clean" and not np.isnan(maps[name])]
    if not known:
        return None
    attack = min(known, key=maps.__getitem__)
    clean, attacked = (
        precision_at_recall(histograms[f"{name}_total"], histograms[f"{name}_relevant"])
        for name in ("clean", attack)
    )
    return PrecisionRecallCurve(clean, attacked, attack)


def precision_recall_chart(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw the curves of clean queries beside those of attacked queries."""
    curves = precision_recall_curves(results, configs)
    if not curves:
        return Chart((), nothing="no distance histograms of confirmed trials yet")
    panels = []
    for title, is_clean in (("clean queries", True), ("queries under the strongest attack", False)):
        marks = [
            Line(
                100 * RECALL_LEVELS,
                100 * (curve.clean if is_clean else curve.attacked),
                colour(index),
                label,
                width=1.8,
                dash=_DASHES[index // len(PALETTE) % len(_DASHES)],
                hover="recall %{x:.0f} %<br>precision %{y:.1f} %<extra>"
                + escape(f"{label} ({'clean' if is_clean else curve.attack})")
                + "</extra>",
            )
            for index, (label, curve) in enumerate(curves)
        ]
        x, y = Axis("recall (%)", limits=(0, 100)), Axis("precision (%)", limits=(0, 100))
        panels.append(Panel(marks, x, y, title))
    return Chart(panels, width=4.3, height=4.4)
