"""How visible an attack is: see :func:`saat.perceptibility.perceptibility`."""

from typing import TYPE_CHECKING

from saat.metrics.metric import Metric, Unit

if TYPE_CHECKING:
    from saat.evaluation import Evaluation


def _visible(name: str, label: str, summary: str, in_tables: bool = True) -> Metric:
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
