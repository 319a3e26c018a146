"""How the average precision is spread over test queries, clean and in the worst case."""

from collections.abc import Sequence

import numpy as np

from reports.confirmed import ConfirmedConfig, distinct_labels
from reports.figures.chart import Axis, Chart, Panel, Values
from reports.figures.setting_line import setting_line

_SHARES: Values = np.linspace(0.0, 1.0, 101)
_HOVER = "%{y:.0f} % of queries have at most<br>AP %{x:.1f} %"


def ap_spread(config: ConfirmedConfig, attack: str) -> Values:
    """Quantiles of AP over all queries and seeds at 101 equal steps, ``(101,)`` fractions."""
    return np.asarray(np.quantile(config.queries[attack], _SHARES), dtype=np.float64)


def ap_per_query_chart(configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw which share of the queries has at most which AP, one panel clean, one worst case."""
    labels = distinct_labels(configs)
    panels = []
    for title, attack in (("clean queries", "clean"), ("worst case of every query", "worst")):
        marks = [
            setting_line(index, label, 100 * ap_spread(config, attack), 100 * _SHARES, _HOVER)
            for index, (label, config) in enumerate(zip(labels, configs, strict=True))
            if attack in config.queries
        ]
        x, y = Axis("AP (%)", limits=(0, 100)), Axis("share of queries (%)", limits=(0, 100))
        if marks:
            panels.append(Panel(marks, x, y, title))
    return Chart(panels, width=4.3, height=4.4, nothing="no AP per query is stored yet")
