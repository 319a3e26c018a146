"""Precision within the first N items (P@N) of confirmed settings, clean and attacked."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import Axis, Chart, Line, Panel, Values, escape
from reports.figures.precision_recall import dash_of, strongest_histograms
from reports.figures.style import colour
from reports.results import SearchResults
from saat.curves import precision_at_depth

_DEPTHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)


class PrecisionAtN(NamedTuple):
    """Means over queries and seeds, as fractions."""

    label: str
    depths: NDArray[np.int64]  # (D,) numbers of retrieved items
    clean: Values  # (D,)
    attacked: Values  # (D,)


def precisions_at(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> list[PrecisionAtN]:
    """P@N of the settings with stored histograms, up to the depth of the protocol's AP."""
    found = []
    for config in configs:
        rows = (strongest_histograms(results, row) for row in config.trials.to_dict("records"))
        kept = [row for row in rows if row]
        if not kept:
            continue
        depths = _depths(results, int(kept[0].clean.total[:1].sum()))
        clean, attacked = (
            np.mean([precision_at_depth(*pair, depths) for pair in pairs], axis=0)
            for pairs in ([row.clean for row in kept], [row.attacked for row in kept])
        )
        found.append(PrecisionAtN(config.label, depths, clean, attacked))
    return found


def _depths(results: SearchResults, database: int) -> NDArray[np.int64]:
    top_k = results.section("evaluation").get("top_k")
    last = min(database, top_k) if isinstance(top_k, int) else database
    return np.array([*(n for n in _DEPTHS if n < last), last], dtype=np.int64)


def precision_at_chart(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw P@N of clean queries beside that of attacked queries."""
    curves = precisions_at(results, configs)
    if not curves:
        return Chart((), nothing="no distance histograms of confirmed trials yet")
    panels = []
    for title, is_clean in (("clean queries", True), ("queries under the strongest attack", False)):
        marks = [
            Line(
                curve.depths.astype(np.float64),
                100 * (curve.clean if is_clean else curve.attacked),
                colour(index),
                curve.label,
                width=1.8,
                dash=dash_of(index),
                hover="first %{x} items<br>precision %{y:.1f} %<extra>"
                + escape(curve.label)
                + "</extra>",
            )
            for index, curve in enumerate(curves)
        ]
        x, y = Axis("N, retrieved items", "log"), Axis("P@N (%)", limits=(0, 100))
        panels.append(Panel(marks, x, y, title))
    return Chart(panels, width=4.3, height=4.4)
