"""Settings of a training's optimiser and of its learning rate."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from saat.optimisers import Adam, Sgd
from saat.settings import option
from saat.work import TRAINING_STEP, Work


@dataclass(frozen=True)
class OptimiserSettings(ABC):
    """Schedule: the learning rate falls × 0.1 at each fraction of all iterations."""

    epochs: int = option(100, ge=0, le=100_000, help="passes over the training set")
    lr: float = option(0.01, ge=1e-9, le=100, help="learning rate")
    batch_size: int = option(32, ge=1, le=65_536, help="images per step")

    decay_at: ClassVar[tuple[float, ...]] = (0.34, 0.67)
    # File keys of the fields that make up "the paper's default" in a search.
    published: ClassVar[tuple[str, ...]] = ()
    # Work a training image before the first epoch.
    start_work: ClassVar[Work] = Work()

    @property
    def epoch_work(self) -> Work:
        """Work a training image of one epoch: here a step on the image itself."""
        return Work(training=TRAINING_STEP)

    def lr_at(self, iteration: int, iterations: int) -> float:
        """Learning rate in ``iteration`` (from 0) of ``iterations``."""
        return self.lr * 0.1 ** sum(iteration >= first for first in self.decays(iterations))

    def decays(self, iterations: int) -> list[int]:
        """The iterations (from 0) of ``iterations`` from which on the rate is × 0.1 lower."""
        return [math.floor(share * iterations) for share in self.decay_at]

    @abstractmethod
    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """A fresh optimiser."""


@dataclass(frozen=True)
class SgdSettings(OptimiserSettings):
    """Stochastic gradient descent."""

    momentum: float = option(0.9, ge=0, le=1, help="momentum of SGD")
    weight_decay: float = option(5e-4, ge=0, le=10, help="weight decay of SGD")

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """SGD."""
        return Sgd(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class AdamSettings(OptimiserSettings):
    """Adam."""

    lr: float = option(1e-4, ge=1e-9, le=100, help="learning rate of Adam")
    beta1: float = option(0.5, ge=0, le=0.9999, help="β₁ of Adam")
    beta2: float = option(0.999, ge=0, le=0.999999, help="β₂ of Adam")

    def optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam."""
        return Adam(parameters, lr=self.lr, betas=(self.beta1, self.beta2))
