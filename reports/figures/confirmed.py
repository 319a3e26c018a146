"""Clean against robust MAP of the confirmed settings, on test queries."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.confirmed import ConfirmedConfig
from reports.figures.chart import Axis, Chart, Mark, Panel, Points, Symbol, percent_of
from reports.figures.frontier import X_LABEL, Y_LABEL
from reports.figures.reference_lines import ReferenceLines, lines_of, reference_lines
from reports.figures.style import colour
from saat.bootstrap import Interval
from saat.metrics import OBJECTIVES, Phase

NOTHING_CONFIRMED = "no completed trials on test queries yet"
_SYMBOLS: Mapping[str, Symbol] = {
    "recommended": "circle",
    "default": "star",
    "undefended": "square",
    "train": "diamond",
}


class ConfirmedPoint(NamedTuple):
    """One setting; MAPs are fractions."""

    label: str
    role: str
    bits: int
    setting: str
    clean: Interval  # over seeds and queries; ends NaN where AP per query is missing
    robust: Interval
    seeds: NDArray[np.float64]  # (S, 2) clean and robust MAP, one row a seed


class ConfirmedData(NamedTuple):
    """All settings, and what they are read against."""

    points: tuple[ConfirmedPoint, ...]
    lines: ReferenceLines


def confirmed_data(configs: Sequence[ConfirmedConfig]) -> ConfirmedData:
    """Means, bands and single seeds of settings that share one protocol."""
    several = len({config.search for config in configs}) > 1
    chosen = tuple(
        ConfirmedPoint(
            label=f"{config.search}: {config.label}" if several else config.label,
            role=config.role,
            bits=config.bits,
            setting=config.setting,
            clean=config.bands["clean_map"],
            robust=config.bands["robust_map"],
            seeds=np.column_stack([config.seeds(name) for name in OBJECTIVES]),
        )
        for config in configs
    )
    return ConfirmedData(chosen, reference_lines([s.trials for s in configs], Phase.TEST))


def confirmed_chart(data: ConfirmedData) -> Chart:
    """Means with their intervals, single seeds faint behind them."""
    if not data.points:
        return Chart((), nothing=NOTHING_CONFIRMED)
    marks: list[Mark] = [*lines_of(data.lines)]
    hover = "clean %{x:.2f} %<br>robust %{y:.2f} %<extra></extra>"
    for index, point in enumerate(data.points):
        symbol, shade = _SYMBOLS.get(point.role, "circle"), colour(index)
        look: Any = {"symbol": symbol, "group": str(index)}
        marks.append(
            Points(
                *percent_of(point.seeds),
                shade,
                size=4,
                opacity=0.4,
                hover=f"one seed<br>{hover}",
                **look,
            )
        )
        text = f"{point.label}: {point.setting}" if point.setting else point.label
        marks.append(
            Points(
                np.array([100 * point.clean.mean]),
                np.array([100 * point.robust.mean]),
                shade,
                size=13 if symbol == "star" else 8,
                label=point.label,
                texts=[text],
                hover="%{text}<br>" + hover,
                x_error=_lengths(point.clean),
                y_error=_lengths(point.robust),
                **look,
            )
        )
    panel = Panel(marks, Axis(X_LABEL), Axis(Y_LABEL))
    return Chart([panel], height=5.2, legend_columns=2)


def _lengths(interval: Interval) -> NDArray[np.float64]:
    """Percent from the mean down and up, (2, 1); an unknown end draws nothing."""
    ends = interval.mean - interval.low, interval.high - interval.mean
    return np.nan_to_num(100 * np.array(ends, dtype=np.float64)).reshape(2, 1)
