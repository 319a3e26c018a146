"""What an evaluation says of its attacks: how visible and how blind they were, what failed."""

from typing import TYPE_CHECKING

from saat.metrics.interface import EVERY_PHASE, Metric, Unit, metric

if TYPE_CHECKING:
    from saat.evaluation import Evaluation


def _visible(name: str, label: str, summary: str, in_tables: bool = True) -> Metric:
    """A norm of :func:`saat.perceptibility.perceptibility`."""

    def compute(evaluation: "Evaluation", attack: str) -> float | None:
        return evaluation.attacks[attack].perceptibility.get(name)

    compute.__doc__ = summary
    return Metric(compute, label, Unit.PIXELS, per_attack=True, in_tables=in_tables)


linf = _visible("linf", "L∞", "Largest change of a pixel over all queries.")
l2 = _visible("l2", "L2", "Mean L2 norm of the whole change.")
l1 = _visible("l1", "L1", "Mean L1 norm of the whole change.", in_tables=False)
matrix_linf = _visible("matrix_linf", "∞ (published)", "Mean ∞-norm of a channel as a matrix.")
matrix_l2 = _visible("matrix_l2", "2 (published)", "Mean 2-norm of a channel as a matrix.")
mse = _visible("mse", "MSE", "Mean squared change of a pixel.")


@metric(
    "zero gradients",
    higher_is_better=False,
    per_attack=True,
    phases=EVERY_PHASE,
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
