"""Two-objective functions with a fidelity, of botorch, as trainings of nine epochs.

After epoch e a training has the objectives at fidelity e/9, so it ends with those that count
(Irshad et al. 2021, arXiv 2112.13901). Those are scaled to [0, 1]; at a lower fidelity a value may
lie a little outside.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from scipy.stats import qmc

from benchmarks.samplers.problem import Problem
from reports.frontier import pareto_mask

EPOCHS = 9
# Points (n, d) of the unit cube and a fidelity → objectives (n, 2), larger is better.
Evaluate = Callable[[NDArray[np.float64], float], NDArray[np.float64]]
_CLASSES: Mapping[str, str] = {
    "botorch/branin_currin": "MOMFBraninCurrin",
    "botorch/park": "MOMFPark",
}
FUNCTIONS = tuple(_CLASSES)
_SAMPLE = 15  # log₂ of the points of a dense sample
_ROUNDS, _CHILDREN = 12, 4096


@dataclass(frozen=True)
class Function(Problem):
    """A function of the unit cube with a fidelity; ``values`` are the front.

    Attributes:
        evaluate: the objectives in their own units.
        worst: (2,) lowest value of each objective.
        top: (2,) highest value of each objective.
    """

    evaluate: Evaluate
    worst: NDArray[np.float64]
    top: NDArray[np.float64]
    epochs: ClassVar[int] = EPOCHS

    def curve(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """See :meth:`Problem.curve`."""
        point = np.array([[params[key] for key in self.space]])
        rows = [self.evaluate(point, epoch / self.epochs) for epoch in range(1, self.epochs + 1)]
        scaled: NDArray[np.float64] = (np.concatenate(rows) - self.worst) / (self.top - self.worst)
        return scaled


def function(name: str, dimensions: int, evaluate: Evaluate) -> Function:
    """Scale a function between the lowest and the highest values of its space."""
    best = front(dimensions, evaluate)
    lowest = front(dimensions, lambda points, fidelity: -evaluate(points, fidelity))
    worst, top = -lowest.max(axis=0), best.max(axis=0)
    space = {f"x{axis}": FloatDistribution(0, 1) for axis in range(dimensions)}
    return Function(name, space, (best - worst) / (top - worst), evaluate, worst, top)


def front(dimensions: int, evaluate: Evaluate) -> NDArray[np.float64]:
    """Objectives (n, 2) of a dense sample of the front, at the highest fidelity.

    The sample starts as a Sobol sequence and the corners of the cube. Then, in every round, the
    front so far gets neighbours at half the distance of the round before.
    """
    rng = np.random.default_rng(0)
    corners = np.array(list(np.ndindex(*(2,) * dimensions)), dtype=np.float64)
    points = np.concatenate([corners, qmc.Sobol(dimensions, seed=0).random_base2(_SAMPLE)])
    values = evaluate(points, 1.0)
    for turn in range(_ROUNDS):
        kept = pareto_mask(values)
        points, values = points[kept], values[kept]
        parents = points[rng.integers(len(points), size=_CHILDREN)]
        children = np.clip(parents + rng.normal(0, 0.1 / 2**turn, parents.shape), 0, 1)
        points = np.concatenate([points, children])
        values = np.concatenate([values, evaluate(children, 1.0)])
    return values[pareto_mask(values)]


@cache
def load(name: str) -> Function:
    """One of :data:`FUNCTIONS`; botorch takes seconds to import."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about code of botorch's
        from botorch.test_functions import multi_objective_multi_fidelity as problems

    made = getattr(problems, _CLASSES[name])(negate=True)

    def evaluate(points: NDArray[np.float64], fidelity: float) -> NDArray[np.float64]:
        rows = np.column_stack([points, np.full(len(points), fidelity)])
        values: NDArray[np.float64] = made(torch.from_numpy(rows)).numpy()
        return values

    return function(name, made.dim - 1, evaluate)
