"""The interface of hashing objectives, and the memory of codes that most of them use."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from saat.labels import check_labels
from saat.seeding import generator


class HashingObjective(nn.Module, ABC):
    """The original objective L_ori of a hashing method.

    It is a module, because some objectives have buffers or parameters of their own. They are saved
    with the model.

    Args:
        labels: 0/1 labels (N, C) of the training set.
        bits: code length K.
        seed: seed of all that is drawn once (targets, initial memory).

    Attributes:
        keeps_codes_upstream: whether the reference implementation (xandery-geek/SAAT) keeps the
            relaxed codes of all training items with this objective.

    Raises:
        InputError: not such labels, class indices for example.
    """

    keeps_codes_upstream: ClassVar[bool] = False

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        check_labels("labels", labels)
        super().__init__()

    def codes(self, features: Tensor) -> Tensor:
        """Relaxed codes u = tanh(f) of pre-tanh features (B, K)."""
        return torch.tanh(features)

    def start_from(self, features: Tensor) -> None:
        """Store the pre-tanh features (N, K) of the training set, if the objective uses them."""

    @abstractmethod
    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Scalar loss of a batch.

        Args:
            features: pre-tanh features (B, K), with gradient.
            labels: float 0/1 labels (B, C).
            index: int64 (B,), positions within the training set, each at most once.
        """


class CodeMemory(HashingObjective):
    """An objective that compares a batch with the relaxed codes U (N, K) of all training items.

    The batch's own rows are refreshed before they are compared. U starts at random signs. If it
    started at zero, a network trained from scratch would stay at the saddle u ≈ 0 of the losses.
    """

    keeps_codes_upstream = True

    memory: Tensor
    labels: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        noise = torch.rand(len(labels), bits, generator=generator("code memory", seed))
        self.register_buffer("memory", torch.where(noise < 0.5, -1.0, 1.0))
        self.register_buffer("labels", labels.float(), persistent=False)

    def start_from(self, features: Tensor) -> None:
        """Replace U by the relaxed codes of ``features`` (N, K)."""
        self.memory.copy_(self.codes(features))

    def remember(self, relaxed: Tensor, index: Tensor) -> None:
        """Overwrite rows ``index`` of U with the batch's relaxed codes, without gradient."""
        self.memory[index] = relaxed.detach()

    def compared(self, relaxed: Tensor, labels: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """U Uᵀ, and 1 where batch and training items share a label: both (B, N), as ``relaxed``."""
        self.remember(relaxed, index)
        similar = (labels @ self.labels.T > 0.5).to(relaxed.dtype)
        return relaxed @ self.memory.T, similar
