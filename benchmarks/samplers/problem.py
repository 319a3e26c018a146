"""What samplers are compared on: a space, and two objectives after every epoch of a training."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from reports.frontier import hypervolume


@dataclass(frozen=True)
class Problem(ABC):
    """Two objectives, scaled to [0, 1] between their worst and their best value; larger is better.

    Attributes:
        name: ``group/name``.
        space: parameter → distribution.
        values: (N, 2) objectives of all settings, or at least of the front.
        epochs: of a training; 1 where only final values are known.
    """

    name: str
    space: Mapping[str, BaseDistribution]
    values: NDArray[np.float64]
    epochs: ClassVar[int] = 1

    @abstractmethod
    def curve(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """Objectives (epochs, 2) of a setting after every epoch; the last row counts."""

    @cached_property
    def best(self) -> float:
        """Hypervolume of the front."""
        return hypervolume(self.values)

    def share(self, values: NDArray[np.float64]) -> float:
        """Hypervolume of values (n, 2), as a share of the best."""
        return hypervolume(values) / self.best
