"""Precision–recall curves of confirmed settings, clean and attacked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class Histograms(NamedTuple):
    """Database items at each Hamming distance, and the relevant ones among them."""

    total: NDArray[np.int32]  # (Q, K+1)
    relevant: NDArray[np.int32]  # (Q, K+1)


class StrongestHistograms(NamedTuple):
    """Histograms of clean queries, and of those under the attack with the lowest MAP."""

    clean: Histograms
    attacked: Histograms
    attack: str


def strongest_histograms(
    results: SearchResults, row: Mapping[Any, Any]
) -> StrongestHistograms | None:
    """The stored histograms of a trial; None if it kept none, or none of an attack."""
    kept = results.histograms(row["trial_id"])
    if kept is None or "clean_total" not in kept:
        return None
    names = [name.removesuffix("_total") for name in kept if name.endswith("_total")]
    maps = {name: row.get(metric_column(Phase.TEST, f"map.{name}"), np.nan) for name in names}
    known = [name for name in names if name != "clean" and not np.isnan(maps[name])]
    if not known:
        return None
    attack = min(known, key=maps.__getitem__)
    clean, attacked = (
        Histograms(kept[f"{name}_total"], kept[f"{name}_relevant"]) for name in ("clean", attack)
    )
    return StrongestHistograms(clean, attacked, attack)


def _trial_curves(results: SearchResults, row: Mapping[Any, Any]) -> PrecisionRecallCurve | None:
    """Curves of a trial, under the attack with the lowest MAP of those with histograms."""
    found = strongest_histograms(results, row)
    if found is None:
        return None
    clean, attacked = (precision_at_recall(*part) for part in (found.clean, found.attacked))
    return PrecisionRecallCurve(clean, attacked, found.attack)


def dash_of(index: int) -> Dash:
    """The line of the index-th setting, once all colours are used."""
    return _DASHES[index // len(PALETTE) % len(_DASHES)]


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
                dash=dash_of(index),
                hover="recall %{x:.0f} %<br>precision %{y:.1f} %<extra>"
                + escape(f"{label} ({'clean' if is_clean else curve.attack})")
                + "</extra>",
            )
            for index, (label, curve) in enumerate(curves)
        ]
        x, y = Axis("recall (%)", limits=(0, 100)), Axis("precision (%)", limits=(0, 100))
        panels.append(Panel(marks, x, y, title))
    return Chart(panels, width=4.3, height=4.4)
