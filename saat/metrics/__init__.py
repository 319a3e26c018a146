"""Metrics; registry.py lists them."""

from saat.metrics.interface import Metric, Phase, Unit, metric
from saat.metrics.registry import METRICS, OBJECTIVES, REFERENCES, Known, final_metrics, known

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
]
