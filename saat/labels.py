"""Multi-label vectors: relevance, groups of equal label vectors, target labels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saat.blocks import rows_at_once
from saat.errors import InputError

_ONE_HOT = "of class indices make torch.nn.functional.one_hot(indices, C)"


def check_labels(name: str, labels: Tensor | np.ndarray) -> None:
    """Refuse what is not 0/1 label vectors (N, C) of any dtype, C at least 2.

    Class indices would count as other labels without anybody noticing. A single column is refused
    because class indices of two classes look like it.

    Raises:
        InputError: another shape, or another value, which it names; it begins with ``name``.
    """
    if labels.ndim != 2 or labels.shape[1] < 2:
        raise InputError(
            f"{name}: shape {tuple(labels.shape)}; must be (N, C), a column of 0s and 1s for each "
            f"of at least 2 classes; {_ONE_HOT}"
        )
    is_label = (labels == 0) | (labels == 1)
    if not is_label.all():
        raise InputError(f"{name}: {labels[~is_label][0].item()}; must be 0 or 1; {_ONE_HOT}")


def check_classes(a: Tensor, b: Tensor) -> None:
    """Refuse labels of different numbers of classes with an ``InputError``."""
    if a.shape[1] != b.shape[1]:
        raise InputError(f"labels of {a.shape[1]} and of {b.shape[1]} classes; must be the same")


def relevance(a: Tensor, b: Tensor) -> Tensor:
    """Whether two items share a label (S_ij > 0 in the paper): bool (Q, N).

    ``a`` (Q, C) and ``b`` (N, C) are 0/1 labels of any dtype. Rows without a label are relevant to
    nothing.

    Raises:
        InputError: not such labels, or of different numbers of classes.
    """
    check_labels("a", a)
    check_labels("b", b)
    check_classes(a, b)
    return unchecked_relevance(a, b)


def unchecked_relevance(a: Tensor, b: Tensor) -> Tensor:
    """:func:`relevance` of what is known to be 0/1 labels, for inner loops."""
    return (a.float() @ b.float().T) > 0.5


@dataclass(frozen=True)
class LabelGroups:
    """Rows grouped by equal label vector: the distinct ``vectors``, float64 (G, C), sorted.

    ``index``, int64 (N,), is the group of each row. ``counts``, float64 (G,), are rows per group.
    """

    vectors: Tensor
    index: Tensor
    counts: Tensor

    @classmethod
    def of(cls, labels: Tensor, name: str = "labels") -> "LabelGroups":
        """Group the rows of 0/1 ``labels`` (N, C); of others an ``InputError`` tells the name."""
        check_labels(name, labels)
        vectors, index, counts = torch.unique(
            labels.to(torch.uint8), dim=0, return_inverse=True, return_counts=True
        )
        return cls(vectors.double(), index, counts.double())

    def sums(self, rows: Tensor) -> Tensor:
        """Sum real ``rows`` (N, K) within each group: float64 (G, K)."""
        out = torch.zeros(len(self.vectors), rows.shape[1], dtype=torch.float64, device=rows.device)
        return out.index_add_(0, self.index, rows.double())


def draw_target_labels(
    query_labels: Tensor, database_labels: Tensor, generator: torch.Generator
) -> Tensor:
    """A target label vector per query for targeted attacks: uint8 (Q, C).

    Uniform over the distinct non-zero label vectors of the database that share no label with the
    query. A query that shares a label with every one of them gets the zero vector: no target
    exists, and nothing is relevant to it. Labels are 0/1, (Q, C) and (N, C). The CPU generator is
    asked once per query, in order.

    Raises:
        InputError: not such labels, or of different numbers of classes.
    """
    candidates = LabelGroups.of(database_labels.cpu()).vectors
    candidates = candidates[candidates.sum(1) > 0]
    targets = torch.zeros(query_labels.shape, dtype=torch.uint8)
    check_labels("query_labels", query_labels)
    check_classes(query_labels, candidates)
    size = rows_at_once(len(candidates))
    blocks = zip(query_labels.cpu().split(size), targets.split(size), strict=True)
    for labels, drawn in blocks:
        for target, related in zip(drawn, unchecked_relevance(labels, candidates), strict=True):
            choices = (~related).nonzero().flatten()
            draw = torch.rand((), generator=generator, dtype=torch.float64)
            if len(choices):
                target.copy_(candidates[choices[int(draw * len(choices))]])
    return targets
