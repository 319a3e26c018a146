"""OrthoHash: one loss for all, cosine similarity to fixed codewords (Hoe et al., NeurIPS 2021)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from saat.hashing.objective import HashingObjective
from saat.hashing.targets import labelled_mean
from saat.seeding import generator

SCALE = 8.0
MARGIN = 0.2


class OrthoHash(HashingObjective):
    """Cross-entropy of logits 8(cos(BN(u), codeword) − 0.2 y) with the label distribution y/|y|₁.

    The codebook is fixed Bernoulli ±1. Rows without a label have no distribution and drop out.
    """

    codebook: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        classes = labels.shape[1]
        draw = torch.rand(classes, bits, generator=generator("codebook", seed))
        self.register_buffer("codebook", torch.where(draw < 0.5, -1.0, 1.0))
        self.norm = nn.BatchNorm1d(bits)

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        del index
        directions = normalize(self.norm(self.codes(features)), dim=1)
        cosine = directions @ normalize(self.codebook, dim=1).T
        logits = SCALE * (cosine - MARGIN * labels)
        target = labels / labels.sum(1, keepdim=True).clamp_min(1)
        return labelled_mean(-(target * log_softmax(logits, dim=1)).sum(1), labels)
