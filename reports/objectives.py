"""How objectives are shown: in which unit, in words, and which way is better."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from reports.wording import MISSING, duration, percent
from saat.feasibility import Aims, Constraints, Objective, Preference
from saat.metrics import METRICS, OBJECTIVES, Unit, known

_MAP = " MAP"
_MINUTES, _HOURS = (60.0, "min"), (3600.0, "h")


class Scale(NamedTuple):
    """The unit of an axis: what is stored is multiplied by ``factor``."""

    factor: float
    symbol: str  # of the unit; empty for a count
    is_whole: bool


def label_of(name: str) -> str:
    """What a metric is called in figures and sentences: ``clean MAP``, ``device time``."""
    found = known(name)
    if found is None:
        return name
    label = found.entry.label
    # The unit is chosen for the reader, so it is not part of the name.
    return label.replace(" seconds", " time") if found.entry.unit is Unit.SECONDS else label


def scale_of(name: str, values: ArrayLike) -> Scale:
    """The unit in which values are drawn; seconds become minutes or hours where they are many."""
    unit = _unit(name)
    if unit.symbol:
        return Scale(100.0, unit.symbol, False)
    if unit is Unit.SECONDS:
        finite = np.asarray(values, dtype=np.float64)
        longest = np.max(finite[np.isfinite(finite)], initial=0.0)
        # The same steps as in :func:`reports.wording.duration`.
        length, symbol = (1.0, "s") if longest < 120 else _MINUTES if longest < 7200 else _HOURS
        return Scale(1 / length, symbol, False)
    return Scale(1.0, "", unit is Unit.COUNT)


def with_unit(label: str, symbol: str) -> str:
    """Label of an axis or a column: ``clean MAP (%)``."""
    return f"{label} ({symbol})" if symbol else label


def objective_label(objective: Objective, symbol: str) -> str:
    """Label of an axis: ``clean MAP (%)``, ``device time (min), lower is better``."""
    text = with_unit(label_of(objective.name), symbol)
    return text if objective.maximise else f"{text}, lower is better"


def hover_of(axes: Iterable[tuple[str, str, Scale]]) -> str:
    """Plotly's template of the values over a point, from (axis, metric, its unit)."""
    return "<br>".join(
        f"{label_of(name).removesuffix(_MAP)} "
        f"%{{{axis}:.{0 if scale.is_whole else 2}f}} {scale.symbol}".rstrip()
        for axis, name, scale in axes
    )


def value_text(name: str, value: float) -> str:
    """A value of a metric with its unit: ``81.3 %``, ``7 min``, ``32``."""
    unit = _unit(name)
    if unit.symbol:
        return percent(value)
    if unit is Unit.SECONDS:
        return duration(value)
    return MISSING if np.isnan(value) else f"{value:.4g}"


def value_phrase(name: str, value: float) -> str:
    """A value with the name of its metric: ``81.3 % clean MAP``, ``code length 32``."""
    parts = value_text(name, value), label_of(name)
    return " ".join(parts if _unit(name).symbol else reversed(parts))


def listed(phrases: Sequence[str]) -> str:
    """``a, b and c``; of two MAPs in a row the first is shortened: ``clean and robust MAP``."""
    *first, last = phrases
    if len(first) == 1 and first[0].endswith(_MAP) and last.endswith(_MAP):
        first = [first[0].removesuffix(_MAP)]
    return f"{', '.join(first)} and {last}" if first else last


def names_listed(names: Iterable[str]) -> str:
    """Objectives by name: ``clean and robust MAP``."""
    return listed([label_of(name) for name in names])


def reference_text(aims: Aims) -> str:
    """The reference point of the hypervolume: ``(clean MAP 0.0 %, device time 10 min)``."""
    parts = (f"{label_of(o.name)} {value_text(o.name, o.reference)}" for o in aims.objectives)
    return f"({', '.join(parts)})"


def is_default(aims: Aims) -> bool:
    """Whether clean and robust MAP are the objectives, measured from the origin."""
    return aims.names == OBJECTIVES and not any(aims.corner)


def bounds_text(constraints: Constraints) -> list[str]:
    """Each bound of the constraints: ``clean MAP ≥ 60.0 %``."""
    return [
        f"{label_of(name)} {sign} {value_text(name, bound)}"
        for sign, bounds in (("≥", constraints.at_least), ("≤", constraints.at_most))
        for name, bound in bounds.items()
    ]


def preference_text(aims: Aims, preference: Preference) -> str:
    """What ``search.prefer`` asks for: ``clean MAP ≥ 80.0 %``, or the weights."""
    if preference.weights is not None:
        pairs = zip(aims.names, preference.weights, strict=True)
        return f"weights {', '.join(f'{label_of(name)} {weight:g}' for name, weight in pairs)}"
    return ", ".join(
        f"{label_of(o.name)} {'≥' if o.maximise else '≤'} {value_text(o.name, bound)}"
        for o, bound in zip(aims.objectives, preference.bounds, strict=True)
        if bound is not None
    )


def shown_metrics(aims: Aims) -> tuple[str, ...]:
    """Metrics that tables show first: the objectives, and clean and robust MAP in any case."""
    return tuple(dict.fromkeys((*aims.names, *OBJECTIVES)))


def is_parameter(name: str) -> bool:
    """Whether a metric is the value of a key of the setting, as the code length is."""
    return name in METRICS and bool(METRICS[name].key)


def _unit(name: str) -> Unit:
    found = known(name)
    return found.entry.unit if found else Unit.NUMBER
