"""What an evaluation says about its own numbers; see ``docs/reliability.md``."""

from typing import TYPE_CHECKING

from saat.metrics.metric import FULL_PROTOCOL, Phase, Unit, metric

if TYPE_CHECKING:
    from saat.evaluation import Evaluation


@metric(
    "zero gradients",
    higher_is_better=False,
    per_attack=True,
    phases=FULL_PROTOCOL | {Phase.VALIDATION},
    from_images=False,
)
def zero_gradients(evaluation: "Evaluation", attack: str) -> float:
    """Mean fraction of input gradients that are exactly zero under one attack."""
    return evaluation.attacks[attack].zero_gradient


@metric("failed gates", unit=Unit.COUNT, higher_is_better=False, from_images=False, in_tables=False)
def gates_failed(evaluation: "Evaluation") -> int | None:
    """Reliability gates that failed; not defined where none was run."""
    return len(evaluation.unreliable) if evaluation.gate_results else None


@metric(
    "skipped attacks", unit=Unit.COUNT, higher_is_better=False, from_images=False, in_tables=False
)
def attacks_skipped(evaluation: "Evaluation") -> int | None:
    """Attacks that the network does not allow; not defined where all were run."""
    return len(evaluation.skipped) or None
