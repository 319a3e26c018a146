"""Precision of confirmed settings, over recall and within the first N items (P@N)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import Axis, Chart, Panel, Values
from reports.figures.setting_line import setting_line
from reports.results import SearchResults, metric_column
from reports.trial_arrays import Arrays
from saat.curves import RECALL_LEVELS, precision_at_depth, precision_at_recall
from saat.metrics import Phase

_DEPTHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)
_PRECISION = "<br>precision %{y:.1f} %"


class PrecisionCurve(NamedTuple):
    """Means over queries and seeds, as fractions."""

    label: str  # of the setting
    x: Values  # (L,) levels of recall, or numbers of retrieved items
    clean: Values  # (L,)
    attacked: Values  # (L,)
    attack: str  # the strongest one; those of the seeds where they differ


def precision_recall_curves(
    results: SearchResults, configs: Sequence[ConfirmedConfig]
) -> list[PrecisionCurve]:
    """Precision at `RECALL_LEVELS` of the settings with stored histograms."""
    return list(_curves(results, configs, lambda _: RECALL_LEVELS, precision_at_recall))


def precisions_at(
    results: SearchResults, configs: Sequence[ConfirmedConfig]
) -> list[PrecisionCurve]:
    """P@N of the settings with stored histograms, up to the depth of the protocol's AP."""
    return list(_curves(results, configs, partial(_depths, results), precision_at_depth))


def precision_recall_chart(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw precision over recall of clean queries beside that of attacked queries."""
    curves = [
        curve._replace(x=100 * curve.x) for curve in precision_recall_curves(results, configs)
    ]
    x, y = Axis("recall (%)", limits=(0, 100)), Axis("precision (%)", limits=(0, 100))
    return _chart(curves, x, y, "recall %{x:.0f} %", names_attack=True)


def precision_at_chart(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw P@N of clean queries beside that of attacked queries."""
    x, y = Axis("N, retrieved items", "log"), Axis("P@N (%)", limits=(0, 100))
    return _chart(precisions_at(results, configs), x, y, "first %{x} items", names_attack=False)


def _curves(
    results: SearchResults,
    configs: Sequence[ConfirmedConfig],
    places: Callable[[int], Values],
    precision: Callable[[NDArray, NDArray, Values], Values],
) -> Iterator[PrecisionCurve]:
    """Precisions at the places on the x axis that a database of so many items has."""
    for config in configs:
        found = (_strongest(results, row) for row in config.trials.to_dict("records"))
        kept = [one for one in found if one]
        if kept:
            x = places(int(kept[0][0]["clean_total"][:1].sum()))
            clean, attacked = (
                np.mean([precision(h[f"{n}_total"], h[f"{n}_relevant"], x) for h, n in of], axis=0)
                for of in ([(histograms, "clean") for histograms, _ in kept], kept)
            )
            attacks = ", ".join(sorted({attack for _, attack in kept}))
            yield PrecisionCurve(config.label, x, clean, attacked, attacks)


def _depths(results: SearchResults, database: int) -> Values:
    top_k = results.section("evaluation").get("top_k")
    last = min(database, top_k) if isinstance(top_k, int) else database
    return np.array([*(n for n in _DEPTHS if n < last), last], dtype=np.float64)


def _strongest(results: SearchResults, row: Mapping[Any, Any]) -> tuple[Arrays, str] | None:
    """A trial's histograms, and its attack of the lowest MAP; None if it kept none of both."""
    kept = results.histograms(row["trial_id"])
    if kept is None or "clean_total" not in kept:
        return None
    names = [name.removesuffix("_total") for name in kept if name.endswith("_total")]
    maps = {name: row.get(metric_column(Phase.TEST, f"map.{name}"), np.nan) for name in names}
    known = [name for name in names if name != "clean" and not np.isnan(maps[name])]
    return (kept, min(known, key=maps.__getitem__)) if known else None


def _chart(
    curves: Sequence[PrecisionCurve], x: Axis, y: Axis, hover: str, names_attack: bool
) -> Chart:
    """Clean queries beside attacked ones; the text over a point may name the attack."""
    if not curves:
        return Chart((), nothing="no distance histograms of confirmed trials yet")
    panels = []
    for title, is_clean in (("clean queries", True), ("queries under the strongest attack", False)):
        lines = []
        for index, curve in enumerate(curves):
            values = 100 * (curve.clean if is_clean else curve.attacked)
            named = f"{curve.label} ({'clean' if is_clean else curve.attack})"
            extra = (hover + _PRECISION, named if names_attack else "")
            lines.append(setting_line(index, curve.label, curve.x, values, *extra))
        panels.append(Panel(lines, x, y, title))
    return Chart(panels, width=4.3, height=4.4)
