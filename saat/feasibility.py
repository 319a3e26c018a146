"""What a search is after: objectives, constraints, and which settings a front may have.

The search, its sampler, ``saat status``, the tracker and the report all ask here.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from saat.errors import InputError, did_you_mean, one_line
from saat.metrics import METRICS, OBJECTIVES, Phase, final_metrics
from saat.sanity import at_chance


def objective_values(
    metrics: Mapping[str, float], phase: Phase = Phase.REATTACK
) -> tuple[float, float]:
    """(clean MAP, robust MAP) of a phase from metrics by stored names; NaN where not measured."""
    clean, robust = (metrics.get(phase.key(name), math.nan) for name in OBJECTIVES)
    return clean, robust


def validation_values(metrics: Mapping[str, float]) -> tuple[float, float] | None:
    """(clean MAP, robust MAP) after an epoch; None if it was not validated."""
    if not Phase.VALIDATION.of(metrics):
        return None
    return objective_values(metrics, Phase.VALIDATION)


def is_measured(metrics: Mapping[str, float]) -> bool:
    """Whether the objectives of the re-attack are numbers."""
    return all(map(math.isfinite, objective_values(metrics)))


def is_collapsed(metrics: Mapping[str, float]) -> bool:
    """Whether clean MAP under the full protocol is not above chance; see :mod:`saat.sanity`."""
    return "clean" in at_chance(final_metrics(metrics))


@dataclass(frozen=True)
class Constraints:
    """The least values of metrics, by plain names, that a setting must reach to be on a front."""

    minimum: Mapping[str, float]

    @classmethod
    def of(cls, at_least: Mapping[str, float]) -> "Constraints":
        """Constraints from the keys of an experiment file, such as ``{"val/clean_map": 0.6}``.

        The keys name what validation measures. The re-attack counts: it has the same queries and
        the full protocol.
        """
        return cls(Phase.VALIDATION.of(at_least))

    @property
    def of_objectives(self) -> tuple[float, float]:
        """The minimums of clean and robust MAP; 0 where there is none."""
        clean, robust = (self.minimum.get(name, 0.0) for name in OBJECTIVES)
        return clean, robust

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metric → how much a trial lacks; ≤ 0 if nothing, infinity if it was not measured."""
        missing = {
            name: least - metrics.get(Phase.REATTACK.key(name), math.nan)
            for name, least in self.minimum.items()
        }
        return {name: math.inf if math.isnan(gap) else gap for name, gap in missing.items()}

    def are_kept(self, metrics: Mapping[str, float]) -> bool:
        """Whether a setting is feasible."""
        return all(missing <= 0 for missing in self.violations(metrics).values())

    def allow(self, metrics: Mapping[str, float]) -> bool:
        """Whether a setting may be on a front: feasible, and clean MAP above chance."""
        return self.are_kept(metrics) and not is_collapsed(metrics)


def check_constraint_keys(keys: Iterable[str]) -> None:
    """Raise an InputError, a line per key, for constraints on what has no minimum."""
    allowed = [Phase.VALIDATION.key(name) for name, entry in METRICS.items() if entry.constraint]
    faults = [
        f"{one_line(key, 60)}: one of {', '.join(allowed)}{did_you_mean(key, allowed)}"
        for key in keys
        if key not in allowed
    ]
    if faults:
        raise InputError(*faults)
