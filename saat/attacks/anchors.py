"""Codes that are known by label vector: the anchors that targeted attacks drive towards."""

from typing import NamedTuple

import torch
from torch import Tensor

from saat.blocks import rows_at_once


class Anchors(NamedTuple):
    """A code for each of some label vectors."""

    vectors: Tensor  # float64 0/1 (G, C), distinct
    codes: Tensor  # float ±1 (G, K)

    def of(self, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The codes of 0/1 ``labels`` (Q, C): float ±1 (Q, K).

        A row without a label, and one that is none of the vectors, keeps the query's own code.
        """
        out, size = query_codes.to(self.codes).clone(), rows_at_once(len(self.vectors))
        for part, wanted in zip(out.split(size), labels.split(size), strict=True):
            group, found = group_of(wanted, self.vectors)
            part.copy_(torch.where(found[:, None], self.codes[group], part))
        return out


def group_of(labels: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The row of ``vectors`` (G, C) equal to each of ``labels`` (Q, C), and whether there is one.

    Vectors are float64 0/1, labels 0/1. A row without a label has none.
    """
    wanted = labels.to(vectors)
    shared = wanted @ vectors.T
    equal = (shared == wanted.sum(1, keepdim=True)) & (shared == vectors.sum(1))
    return equal.int().argmax(1), equal.any(1) & (wanted.sum(1) > 0)
