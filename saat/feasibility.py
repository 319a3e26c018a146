"""What a search is after: objectives, constraints, and which settings a front may have.

The search, its sampler, ``saat status``, the tracker and the report all ask here.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saat.errors import InputError, one_line
from saat.metrics import METRICS, OBJECTIVES, Metric, Phase, final_metrics
from saat.sanity import at_chance

# The reference of a metric that equals a key of the setting, in units of the key's largest value.
# At the largest value itself, the settings that have it would add no hypervolume.
_BEYOND = 2.0


def is_collapsed(metrics: Mapping[str, float]) -> bool:
    """Whether clean MAP under the full protocol is not above chance; see :mod:`saat.sanity`."""
    return "clean" in at_chance(final_metrics(metrics))


@dataclass(frozen=True)
class Objective:
    """A metric that a search maximises or minimises."""

    name: str  # plain name in :data:`saat.metrics.METRICS`, such as ``robust_map``
    maximise: bool
    reference: float  # in the metric's own unit; hypervolume counts what is better than it

    @property
    def best(self) -> float | None:
        """The value that no result is better than; None where it is not known."""
        return METRICS[self.name].best if self.name in METRICS else None

    @property
    def span(self) -> float:
        """Distance from the reference to the best value; to 0 where that is not known."""
        return abs((self.best or 0.0) - self.reference) or 1.0


@dataclass(frozen=True)
class Constraints:
    """Bounds of metrics, by plain names, that a setting must keep to be on a front."""

    at_least: Mapping[str, float]
    at_most: Mapping[str, float]

    @classmethod
    def of(cls, section: Mapping[str, Mapping[str, Any]]) -> "Constraints":
        """The constraints of an experiment file, such as ``{"val/clean_map": {"at_least": 0.6}}``.

        The keys name what validation measures. The re-attack counts: it has the same queries and
        the full protocol.
        """
        bounds = Phase.VALIDATION.of(section)
        least, most = (
            {name: float(b[word]) for name, b in bounds.items() if b.get(word) is not None}
            for word in ("at_least", "at_most")
        )
        return cls(least, most)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are bounded."""
        return tuple(dict.fromkeys((*self.at_least, *self.at_most)))

    def bound_of(self, objective: Objective) -> float | None:
        """The least value of an objective, or the most if it is minimised; None without one."""
        return (self.at_least if objective.maximise else self.at_most).get(objective.name)

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metric → how much a trial lacks; ≤ 0 if nothing, infinity if it was not measured."""
        missing = {}
        for name in self.names:
            value = metrics.get(Phase.REATTACK.key(name), math.nan)
            below = self.at_least.get(name, -math.inf) - value
            above = value - self.at_most.get(name, math.inf)
            missing[name] = math.inf if math.isnan(value) else max(below, above)
        return missing

    def are_kept(self, metrics: Mapping[str, float]) -> bool:
        """Whether a setting is feasible."""
        return all(missing <= 0 for missing in self.violations(metrics).values())


@dataclass(frozen=True)
class Preference:
    """Where on the front a search spends most, in the order of its objectives.

    Attributes:
        weights: ≥ 0, how much each objective counts; None where ``bounds`` say it.
        bounds: the least (most, if minimised) wanted value of each objective in its own unit; None
            where any value will do.
    """

    weights: tuple[float, ...] | None
    bounds: tuple[float | None, ...]


@dataclass(frozen=True)
class Aims:
    """The objectives, constraints and preference of a search."""

    objectives: tuple[Objective, ...]
    constraints: Constraints
    preference: Preference | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Aims":
        """The aims of an experiment, from the content of its resolved file.

        An ``InputError`` where no installed package has an objective, or its reference is unknown.
        """
        given = content.get("objectives") or dict.fromkeys(
            map(Phase.VALIDATION.key, OBJECTIVES), "max"
        )
        objectives = tuple(_objective(key, word, content) for key, word in given.items())
        preferred = (content.get("search") or {}).get("prefer")
        return cls(
            objectives,
            Constraints.of(content.get("constraints") or {}),
            _preference(preferred, objectives) if preferred else None,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Plain names of the objectives, in their order."""
        return tuple(objective.name for objective in self.objectives)

    def values(
        self, metrics: Mapping[str, float], phase: Phase = Phase.REATTACK
    ) -> tuple[float, ...]:
        """The objectives in a phase, in their own units; NaN where not measured.

        ``metrics`` have their stored names.
        """
        return tuple(metrics.get(phase.key(name), math.nan) for name in self.names)

    def validation_values(self, metrics: Mapping[str, float]) -> tuple[float, ...] | None:
        """The objectives after an epoch; None if it was not validated."""
        if not Phase.VALIDATION.of(metrics):
            return None
        return self.values(metrics, Phase.VALIDATION)

    def oriented(self, values: ArrayLike) -> NDArray[np.float64]:
        """Values (…, m) with those of minimised objectives negated: larger is better."""
        points = np.asarray(values, dtype=np.float64)
        if points.shape == (0,):
            points = points.reshape(0, len(self.names))
        return points * [1.0 if objective.maximise else -1.0 for objective in self.objectives]

    def shares(self, values: ArrayLike) -> NDArray[np.float64]:
        """Values (…, m) on one scale: 0 at the reference, 1 at the best value, larger is better.

        The unit is :attr:`Objective.span`. A MAP that is maximised is its own share.
        """
        spans = np.array([objective.span for objective in self.objectives])
        return np.asarray((self.oriented(values) - np.array(self.corner)) / spans)

    @cached_property
    def validated(self) -> tuple[int, ...]:
        """Positions of the objectives that validation measures; trials are compared by these."""
        return tuple(
            i
            for i, name in enumerate(self.names)
            if name in METRICS and Phase.VALIDATION in METRICS[name].phases
        )

    @property
    def corner(self) -> tuple[float, ...]:
        """The reference point of the hypervolume, oriented like the values."""
        return tuple(self.oriented([objective.reference for objective in self.objectives]).tolist())

    def is_measured(self, metrics: Mapping[str, float]) -> bool:
        """Whether the objectives of the re-attack are numbers."""
        return all(map(math.isfinite, self.values(metrics)))

    def allow(self, metrics: Mapping[str, float]) -> bool:
        """Whether a setting may be on a front: feasible, and clean MAP above chance."""
        return self.constraints.are_kept(metrics) and not is_collapsed(metrics)

    def are_above_chance(self, metrics: Mapping[str, float]) -> bool:
        """Whether clean MAP, and robust MAP if it is an objective, are above chance.

        A setting that is not is never recommended.
        """
        low = at_chance(final_metrics(metrics))
        return not any(name == "clean" or f"{name}_map" in self.names for name in low)


def names_reference(metric: Metric) -> bool:
    """Whether an objective must name its reference, because the metric has no worst value."""
    return metric.worst is None and not (metric.key and metric.higher_is_better is False)


def reference_of(name: str, content: Mapping[str, Any]) -> float | None:
    """The reference of a metric where the file names none; None if it must name one.

    It is the worst value of a fraction. A metric that equals a key of the setting, such as the code
    length, has twice the largest value of the search space.
    """
    metric = METRICS[name]
    if metric.worst is not None or names_reference(metric):
        return metric.worst
    section, _, key = metric.key.partition(".")
    searched = (content.get("space") or {}).get(metric.key) or {}
    lists = [searched.get(kind) for kind in ("choice", "int", "float")]
    values = next(filter(None, lists), [(content.get(section) or {}).get(key)])
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return _BEYOND * max(numbers) if numbers else None


def _objective(key: str, given: Any, content: Mapping[str, Any]) -> Objective:
    name = key.removeprefix(Phase.VALIDATION.key(""))
    ((word, reference),) = given.items() if isinstance(given, Mapping) else ((given, None),)
    shown = one_line(key, 60)
    if reference is None:
        if name not in METRICS:
            raise InputError(f"objectives: {shown}: no installed package has this metric")
        reference = reference_of(name, content)
    if reference is None:
        raise InputError(
            f"objectives: {shown}: has no worst value; name the reference of the hypervolume, such "
            f"as {shown}: {{{word}: 600}}"
        )
    return Objective(name, word == "max", float(reference))


def _preference(given: Mapping[str, Any], objectives: Sequence[Objective]) -> Preference:
    wanted = [given.get(Phase.VALIDATION.key(objective.name)) for objective in objectives]
    bounds = tuple(
        float(next(iter(bound.values()))) if isinstance(bound, Mapping) else None
        for bound in wanted
    )
    if any(bound is not None for bound in bounds):
        return Preference(None, bounds)
    return Preference(tuple(float(weight or 0.0) for weight in wanted), bounds)
