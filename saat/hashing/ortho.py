"""OrthoHash: a single loss, cosine similarity to fixed codewords (Hoe et al., NeurIPS 2021)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, log_softmax, normalize

from saat.hashing.interface import HashingObjective
from saat.seeding import generator

SCALE = 8.0
MARGIN = 0.2


class OrthoHash(HashingObjective):
    """Cross-entropy of logits 8(cos(BN(u), codeword) − 0.2 y) with the label distribution y/|y|₁.

    The codebook is fixed, with Bernoulli ±1 entries. Rows without a label have no distribution and
    are left out, also of the batch statistics. A single row uses the running statistics.

    Batch norm and codebook belong to the loss alone, as in the reference implementation: the code
    of an image is sign(f).
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
        labelled = labels.sum(1) > 0
        features, labels = features[labelled], labels[labelled]
        directions = normalize(self._normed(self.codes(features)), dim=1)
        cosine = directions @ normalize(self.codebook, dim=1).T
        logits = SCALE * (cosine - MARGIN * labels)
        target = labels / labels.sum(1, keepdim=True)
        return -(target * log_softmax(logits, dim=1)).sum() / max(len(labels), 1)

    def _normed(self, relaxed: Tensor) -> Tensor:
        norm = self.norm
        if len(relaxed) > 1:
            normed: Tensor = norm(relaxed)
            return normed
        return batch_norm(
            relaxed, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
