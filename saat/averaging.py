"""Averages of a network's weights over the steps of a training."""

from collections.abc import Mapping
from copy import deepcopy

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
