"""Metrics; registry.py lists them."""

from saat.metrics.interface import Metric, Phase, Unit, metric
from saat.metrics.registry import (
    METRICS,
    OBJECTIVES,
    REFERENCES,
    Known,
    final_metrics,
    known,
    with_trial_metrics,
)

__all__ = [
    "METRICS",
    "OBJECTIVES",
    "REFERENCES",
    "Known",
    "Metric",
    "Phase",
    "Unit",
    "final_metrics",
    "known",
    "metric",
    "with_trial_metrics",
]
