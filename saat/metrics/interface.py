"""What a metric is: how one number of an evaluation is computed, stored, shown and verified."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Phase(StrEnum):
    """When a number is measured; its stored name begins with it: ``test/clean_map``."""

    TRAINING = "train"  # while an epoch is trained
    VALIDATION = "val"  # after every epoch: validation queries, one short attack
    REATTACK = "reattack"  # after the last epoch: validation queries, the full protocol
    TEST = "test"  # confirmed and singly trained settings: test queries, the full protocol

    def key(self, name: str) -> str:
        """The stored name of a metric in this phase."""
        return f"{self}/{name}"

    def keyed(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metrics by their stored names, given by their plain ones."""
        return {self.key(name): value for name, value in metrics.items()}

    def of(self, metrics: Mapping[str, T]) -> dict[str, T]:
        """The metrics of this phase by their plain names, given by their stored ones."""
        begin = self.key("")
        return {k.removeprefix(begin): v for k, v in metrics.items() if k.startswith(begin)}


class Unit(Enum):
    """What a number counts. It is stored as it is; with a symbol it is shown times 100."""

    FRACTION = "a fraction in [0, 1]"
    DIFFERENCE = "a difference of two fractions"
    COUNT = "a count"
    SECONDS = "seconds"
    PIXELS = "a norm in fractions of the pixel range"
    NUMBER = "a number"

    @property
    def symbol(self) -> str:
        """``%``, ``points`` or nothing."""
        return {Unit.FRACTION: "%", Unit.DIFFERENCE: "points"}.get(self, "")


FULL_PROTOCOL = frozenset({Phase.REATTACK, Phase.TEST})
EVERY_PHASE = FULL_PROTOCOL | {Phase.VALIDATION}
# Attributes of a metric that a search can aim for.
AIM = {"objective": True, "constraint": True}


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation, or one for every attack.

    Attributes:
        compute: :class:`saat.evaluation.Evaluation` → value, with ``per_attack`` also given the
            attack's name; None where it is not defined.
        label: what tables and figures call it.
        unit: of the stored value.
        higher_is_better: for whoever is attacked; None where neither is better.
        per_attack: stored as ``NAME.ATTACK``; under ``val/``, which has one attack, as ``NAME``.
        phases: in which it exists.
        from_images: whether model, labels and attacked images determine it, so that ``saat
            verify`` computes it once more from the stored images.
        tolerance: largest difference that ``saat verify`` accepts.
        in_tables: whether the report's tables show it.
        objective: whether ``objectives`` of an experiment may name it.
        constraint: whether ``constraints`` of an experiment may name it, with ``at_least`` if
            higher is better and ``at_most`` if lower is.
        of_trial: whether it is a number of the trial, not of its evaluation. ``compute`` is then
            given the seconds of work that the trial had taken when the phase was measured.
        key: the key of a setting whose value it is, such as ``model.bits``; empty for most.
        version: raised when the formula changes, so that numbers of two formulas are never mixed.
    """

    compute: Callable[..., Any]
    label: str
    unit: Unit = Unit.FRACTION
    higher_is_better: bool | None = None
    per_attack: bool = False
    phases: frozenset[Phase] = FULL_PROTOCOL
    from_images: bool = True
    tolerance: float = 1e-9
    in_tables: bool = True
    objective: bool = False
    constraint: bool = False
    of_trial: bool = False
    key: str = ""
    version: int = 1

    @property
    def worst(self) -> float | None:
        """The value that no result is worse than; None where there is no such value."""
        if self.unit is not Unit.FRACTION or self.higher_is_better is None:
            return None
        return 0.0 if self.higher_is_better else 1.0

    @property
    def best(self) -> float | None:
        """The value that no result is better than; None where it is not known."""
        if self.worst is not None:
            return 1.0 - self.worst
        return 0.0 if self.unit is Unit.COUNT and self.higher_is_better is False else None

    def values(self, evaluation: Any, name: str, phase: Phase) -> dict[str, float]:
        """What is measured, by plain names; ``name`` is that of this metric in the registry."""
        found = {}
        for attack in evaluation.attacks if self.per_attack else ():
            key = name if phase is Phase.VALIDATION else f"{name}.{attack}"
            found[key] = self.compute(evaluation, attack)
        if not self.per_attack:
            found[name] = self.compute(evaluation)
        return {key: float(value) for key, value in found.items() if value is not None}


def metric(label: str, **attributes: Any) -> Callable[[Callable[..., Any]], Metric]:
    """Decorator that makes a function the ``compute`` of a :class:`Metric`; see its attributes."""
    return lambda compute: Metric(compute, label, **attributes)


def problem_with(entry: Any) -> str | None:
    """What keeps an object of another package from being a metric; None where nothing does."""
    if not isinstance(entry, Metric):
        return "must be a saat.metrics.Metric, such as the decorator saat.metrics.interface makes"
    if entry.of_trial:
        return "what is known of a trial beside its evaluation is measured by saat-harness alone"
    if (entry.objective or entry.constraint) and (
        entry.per_attack or entry.higher_is_better is None or Phase.REATTACK not in entry.phases
    ):
        return (
            "an objective or a constraint is one number of which more or less is better, and the "
            "full protocol measures it on validation queries"
        )
    return None
