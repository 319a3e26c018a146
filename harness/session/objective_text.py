"""Objectives as a terminal shows them: MAPs in percent, other metrics in their own unit."""

import math
from collections.abc import Iterable

from harness.experiment.config import Experiment
from saat.feasibility import Aims
from saat.metrics import METRICS, Unit


def short_label(name: str) -> str:
    """``clean`` for ``clean_map``; the metric's label where it is not the MAP of queries."""
    return METRICS[name].label.removesuffix(" MAP")


def value_text(name: str, value: float, missing: str) -> str:
    """A value of a metric: ``81.3`` (percent), ``32`` (bits), ``412`` (seconds)."""
    if math.isnan(value):
        return missing
    unit = METRICS[name].unit
    if unit.symbol:
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if unit in (Unit.COUNT, Unit.SECONDS) else f"{value:.4g}"


def not_validated(experiment: Experiment) -> list[str]:
    """A sentence on the objectives that validation does not measure; none if it measures all."""
    aims = experiment.aims
    labels = [METRICS[name].label for name in aims.names]
    missing = [label for i, label in enumerate(labels) if i not in aims.validated]
    if not missing:
        return []
    text = f"objectives: {' and '.join(missing)}: measured at the end of a trial, not in validation"
    if experiment.search.scheduler == "none":
        return [text]
    compared = " and ".join(labels[i] for i in aims.validated)
    return [f"{text}; {experiment.search.scheduler} compares trials by {compared}"]


def objectives_text(aims: Aims, values: Iterable[float]) -> str:
    """``clean 81.3 robust 40.2``."""
    pairs = zip(aims.names, values, strict=True)
    return " ".join(f"{short_label(name)} {value_text(name, value, '-')}" for name, value in pairs)
