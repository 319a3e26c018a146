"""P2P and DHTA: towards the codes of database items that carry the target label.

Bai et al., "Targeted attack for deep hashing based retrieval", ECCV 2020. Codes that are known by
label vector, the anchors, are what other targeted attacks drive towards too.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from saat.attacks.interface import Knowledge
from saat.attacks.pgd_attack import PGDAttack
from saat.blocks import rows_at_once
from saat.codes import sign
from saat.labels import LabelGroups
from saat.settings import option


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


@dataclass(frozen=True)
class P2P(PGDAttack):
    """PGD on −(1/K) aᵀ tanh(α f(x')) from the benign image, a the code of one database item.

    The item carries exactly the target label and is the first one of the database. Fewer than n
    vote where the database has no more; a bit with as many votes for as against is +1. A row
    without a label, and a label that no item of the database carries, have no anchor: the query's
    own code stands in for it. Deterministic.
    """

    steps: int = option(2000, ge=1, le=100_000, help="iterations T")
    anchors: int = option(1, ge=1, le=100_000, help="database codes n that vote on the anchor code")

    targeted = True

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Component-wise votes: sign of the sum of the first n codes that have an equal label."""
        codes, code_labels = knowledge.database_codes, knowledge.database_labels
        groups = LabelGroups.of(code_labels.to(codes.device))
        order = groups.index.argsort(stable=True)
        first = groups.counts.long().cumsum(0) - groups.counts.long()
        place = torch.arange(len(order), device=codes.device) - first[groups.index[order]]
        voters = order[place < self.anchors]
        votes = groups.sums(torch.zeros_like(codes).index_copy_(0, voters, codes[voters]))
        return Anchors(groups.vectors, sign(votes).float()).of(labels, query_codes)


@dataclass(frozen=True)
class DHTA(P2P):
    """PGD like P2P towards the bitwise vote of nine database items."""

    anchors: int = option(9, ge=1, le=100_000, help="database codes n that vote on the anchor code")
