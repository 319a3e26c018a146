"""Averages of a network's weights over the steps of a training, and its best epoch."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


class AveragedNetwork:
    """An exponential moving average of the weights of a network (Polyak and Juditsky 1992).

    After step t (from 0) the average is a ← d·a + (1 − d)·w with d = min(decay, (1 + t)/(10 + t)):
    the first weights, which no step has trained, are forgotten within some tens of steps even if
    the decay is near 1. Buffers, statistics of batch norm among them, are those of the network:
    they are averages already.

    Attributes:
        network: a copy with the averaged weights, which have no gradients.
        steps: int64 scalar, how many were averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False).eval()
        self.steps = torch.zeros((), dtype=torch.int64)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights of ``network`` after a step."""
        steps = int(self.steps)
        decay = min(self._decay, (1 + steps) / (10 + steps))
        own: list[Tensor] = list(self.network.parameters())
        others: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(own, others, 1 - decay)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)
        self.steps += 1

    def tensors(self) -> dict[str, Tensor]:
        """Its state, for a checkpoint."""
        return {**self.network.state_dict(), "steps": self.steps}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`tensors`."""
        given = dict(tensors)
        self.steps.copy_(given.pop("steps"))
        self.network.load_state_dict(given)


class BestEpoch:
    """The weights of the epoch with the highest score so far; of equal scores, of the first one.

    Attributes:
        epoch: which one, from 1; 0 before the first score.
        score: its score.
        weights: the kept state of its network; empty where none is kept.
    """

    def __init__(self) -> None:
        self.epoch, self.score = 0, float("-inf")
        self.weights: dict[str, Tensor] = {}

    def consider(self, epoch: int, score: float, network: nn.Module) -> None:
        """Keep a copy of the weights if the score is higher than all before; NaN never is."""
        if score > self.score:
            self.epoch, self.score = epoch, score
            self.weights = {name: part.clone() for name, part in network.state_dict().items()}

    def give(self, network: nn.Module) -> None:
        """Load the kept weights into ``network``, which stays as it is where none are kept."""
        if self.weights:
            network.load_state_dict(self.weights)

    def meta(self) -> dict[str, Any]:
        """Epoch and score, for a checkpoint; empty where none was kept."""
        return {"epoch": self.epoch, "score": self.score} if self.epoch else {}

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Take over ``weights`` and :meth:`meta` of a checkpoint."""
        if meta:
            self.epoch, self.score = int(meta["epoch"]), float(meta["score"])
        self.weights = dict(tensors)
