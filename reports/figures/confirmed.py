"""Clean against robust MAP of the confirmed settings, on test queries."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig, distinct_labels
from reports.figures.chart import Axis, Chart, Letters, Mark, Panel, Points, Symbol
from reports.figures.reference_lines import reference_lines
from reports.figures.style import colour
from reports.objectives import label_of, with_unit
from saat.bootstrap import Interval
from saat.metrics import OBJECTIVES, Phase

_SYMBOLS: Mapping[str, Symbol] = {"default": "star", "undefended": "square", "train": "diamond"}
_HOVER = "clean %{x:.2f} %<br>robust %{y:.2f} %<extra></extra>"


def confirmed_chart(configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw means with their intervals, and single seeds faint behind them."""
    if not configs:
        return Chart((), nothing="no completed trials on test queries yet")
    marks: list[Mark] = [*reference_lines([config.trials for config in configs], Phase.TEST)]
    for index, (label, config) in enumerate(zip(distinct_labels(configs), configs, strict=True)):
        symbol, shade = _SYMBOLS.get(config.role, "circle"), colour(index)
        look: Any = {"symbol": symbol, "group": str(index)}
        x, y = (100 * config.seeds(name) for name in OBJECTIVES)
        hover = f"one seed<br>{_HOVER}"
        marks.append(Points(x, y, shade, size=4, opacity=0.4, hover=hover, **look))
        clean, robust = (config.bands[name] for name in OBJECTIVES)
        marks.append(
            Points(
                np.array([100 * clean.mean]),
                np.array([100 * robust.mean]),
                shade,
                size=13 if symbol == "star" else 8,
                label=label,
                texts=[f"{label}: {config.setting}" if config.setting else label],
                hover="%{text}<br>" + _HOVER,
                x_error=_lengths(clean),
                y_error=_lengths(robust),
                **look,
            )
        )
    named = [config for config in configs if config.role == "recommended"]
    if named:
        x, y = (np.array([100 * c.bands[name].mean for c in named]) for name in OBJECTIVES)
        marks.append(Letters(x, y, [config.letter for config in named]))
    x_axis, y_axis = (Axis(with_unit(label_of(name), "%")) for name in OBJECTIVES)
    return Chart([Panel(marks, x_axis, y_axis)], height=5.2, legend_columns=2)


def _lengths(interval: Interval) -> NDArray[np.float64]:
    """Lengths in percent from the mean down and up, (2, 1); an unknown end is not drawn."""
    ends = interval.mean - interval.low, interval.high - interval.mean
    return np.nan_to_num(100 * np.array(ends, dtype=np.float64)).reshape(2, 1)
