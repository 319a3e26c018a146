"""Mainstay codes: the globally optimal semantic representative of a label (Theorem 1, Eq. 10).

    b_m = sign( Σ_i w_i b_i⁽ᵖ⁾ − Σ_j w_j b_j⁽ⁿ⁾ )

over all positives i (training items that share a label) and negatives j (those that share none).
Weights depend on labels only, and labels repeat, so the sums run over *groups* of equal label
vectors: with code sums Σ_g per group the code of any label is one row of coefficients times Σ.
Labels never change during training, so the coefficients are computed once, and Σ_g follows the
codes by differences.

A bit that is constant over the training set has the sum 0 where both kinds of weights add up to 1,
and in floating point the sign of 0 is left to rounding. Sums of ±1 codes that are that close to 0
are therefore computed again in integers (:mod:`saat.exact_sums`).
"""

from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from saat.blocks import rows_at_once
from saat.codes import check_codes, sign
from saat.errors import InputError
from saat.exact_sums import exact_mainstay_sums
from saat.labels import LabelGroups, check_classes, check_labels
from saat.wording import counted

MainstayWeights = Literal["saat", "eq11", "cgat"]
MAINSTAY_WEIGHTS: tuple[str, ...] = get_args(MainstayWeights)

# Matrices (rows, groups) that group coefficients are made of at once; larger sets go in blocks.
_MATRICES = 4
# Coefficients of all groups are kept up to this many bytes, and computed for every batch above it:
# they grow with the square of the groups, to gigabytes for 100,000 rows of MS-COCO.
KEPT_BYTES = 1 << 28
_RELAXED_STEP = 2.0**-30
# Sums lie in [−2, 2]. Rounding makes less than this of a 0.
_NEARLY_ZERO = 1e-10


def group_coefficients(labels: Tensor, groups: LabelGroups, weights: MainstayWeights) -> Tensor:
    """Coefficient of every group's code sum in the mainstay code of every label.

    With s_g = ⟨y, d_g⟩/(‖y‖‖d_g‖), n_g rows in group g, N_p positives and N_n negatives:

    - ``"saat"`` (reference implementation): s_g / Σ_positives s, and −1/N_n;
    - ``"eq11"`` (Eq. 11 of the paper): s_g / N_p, and −1/N_n;
    - ``"cgat"`` (binary, Wang et al., WWW 2023): 1/N_p, and −1/N_n.

    A term without members (no positives, no negatives) is dropped, so nothing is ever NaN. Labels
    are 0/1 (Q, C); the result is float64 (Q, G).
    """
    y = labels.double()
    d, counts = groups.vectors.to(y.device), groups.counts.to(y.device)
    shared = y @ d.T
    positive = shared > 0.5
    norms = y.norm(dim=1)[:, None] * d.norm(dim=1)[None, :]
    similarity = torch.where(positive, shared / norms.clamp_min(1e-12), 0.0)
    n_positive = (positive * counts).sum(1, keepdim=True)
    n_negative = (~positive * counts).sum(1, keepdim=True)
    if weights == "saat":
        numerator, denominator = similarity, (similarity * counts).sum(1, keepdim=True)
    elif weights == "eq11":
        numerator, denominator = similarity, n_positive
    else:
        numerator, denominator = positive.double(), n_positive
    pull = torch.where(denominator > 0, numerator / denominator, 0.0)
    push = torch.where(~positive, 1.0 / n_negative, 0.0)  # n_negative ≥ 1 wherever it is used
    return pull - push


class MainstayCodes:
    """Mainstay codes of training items whose hash codes change during training.

    The sums of every group are exact, so they do not depend on the order of updates: ±1 codes add
    up to integers, and relaxed codes are kept in steps of 2⁻³⁰ (finer than float32 near 1), of
    which float64 holds sums of 2²³ rows. A bit whose mainstay sum is exactly 0 is +1. With relaxed
    codes that holds for bits that are constant over the training set; else rounding may decide.

    Attributes:
        codes: int8 ±1 (N, K), or float64 where they are ``relaxed``.
        sums: float64 (G, K), those of every group of equal labels.

    Codes are of any dtype, and with ``relaxed`` anything in [−1, 1]. Other arguments and errors are
    those of :func:`mainstay_codes`.
    """

    def __init__(
        self,
        train_codes: Tensor,
        train_labels: Tensor,
        weights: MainstayWeights = "saat",
        relaxed: bool = False,
    ) -> None:
        if not relaxed:
            check_codes("train_codes", train_codes)
        if len(train_codes) != len(train_labels):
            raise InputError(
                f"train_labels: {counted(len(train_labels), 'row')}; "
                f"train_codes has {len(train_codes)}"
            )
        self._groups = LabelGroups.of(train_labels.to(train_codes.device), "train_labels")
        self._weights, self._relaxed = weights, relaxed
        self.codes = self._exact(train_codes).clone()
        self.sums = self._groups.sums(self.codes)

    def _exact(self, codes: Tensor) -> Tensor:
        if not self._relaxed:
            return codes.to(torch.int8)
        return (codes.double() / _RELAXED_STEP).round() * _RELAXED_STEP

    def update(self, index: Tensor, codes: Tensor) -> None:
        """Replace the codes (B, K) of training rows ``index`` (B,), each row at most once."""
        new = self._exact(codes)
        change = new.double() - self.codes[index].double()
        self.sums.index_add_(0, self._groups.index[index], change)
        self.codes[index] = new

    def of_rows(self, index: Tensor) -> Tensor:
        """Mainstay codes float32 (B, K) of training rows ``index`` (B,) under their own labels."""
        members = self._groups.index[index]
        labels = self._groups.vectors[members]
        if 8 * len(self._groups.vectors) ** 2 <= KEPT_BYTES:
            return self._signs(self._coefficients[members], labels)
        return self._of_checked(labels)

    def _signs(self, coefficients: Tensor, labels: Tensor) -> Tensor:
        """Mainstay codes float32 (Q, K) of labels (Q, C) with these coefficients (Q, G)."""
        totals = coefficients @ self.sums
        if (unsure := totals.abs() < _NEARLY_ZERO).any():
            totals = self._settled(totals, unsure, labels)
        return sign(totals).float()

    def _settled(self, totals: Tensor, unsure: Tensor, labels: Tensor) -> Tensor:
        """``totals`` (Q, K) of labels (Q, C) with the right sign where ``unsure`` (Q, K)."""
        # The sum of a constant bit is a mean of cosines (1 where weights add up to 1) or 0, minus
        # 1 or 0. A mean of cosines below 1 is at most 1 − 1/(2 C N), so a sum this near to 0 is 0.
        constant = self.sums.sum(0).abs() == len(self.codes)
        totals = totals.masked_fill(unsure & constant, 0.0)
        unsure = unsure & ~constant
        rows, bits = unsure.any(1), unsure.any(0)
        if self._relaxed or not rows.any():
            return totals
        sums = self.sums[:, bits]
        exact = exact_mainstay_sums(labels[rows], self._groups, sums, self._weights)
        block = rows[:, None] & bits
        return torch.where(unsure, totals.masked_scatter(block, exact), totals)

    @cached_property
    def _coefficients(self) -> Tensor:
        """Coefficients of every group's own label, (G, G), filled block by block."""
        vectors, rows = self._groups.vectors, rows_at_once(_MATRICES * len(self._groups.vectors))
        out = vectors.new_empty(len(vectors), len(vectors))
        for block, labels in zip(out.split(rows), vectors.split(rows), strict=True):
            block.copy_(group_coefficients(labels, self._groups, self._weights))
        return out

    def of_labels(self, labels: Tensor) -> Tensor:
        """Mainstay codes float32 (Q, K) of any 0/1 labels (Q, C); of others an ``InputError``."""
        check_labels("labels", labels)
        check_classes(labels, self._groups.vectors)
        return self._of_checked(labels.to(self.sums.device))

    def _of_checked(self, labels: Tensor) -> Tensor:
        found = [
            self._signs(group_coefficients(block, self._groups, self._weights), block)
            for block in labels.split(rows_at_once(_MATRICES * len(self._groups.vectors)))
        ]
        return torch.cat(found)


def mainstay_codes(
    labels: Tensor, train_codes: Tensor, train_labels: Tensor, weights: MainstayWeights = "saat"
) -> Tensor:
    """Mainstay codes of ``labels`` under the codes and labels of the training set (Eq. 10).

    Args:
        labels: 0/1 labels (Q, C) of queries, or target labels for a targeted attack.
        train_codes: ±1 codes (N, K).
        train_labels: 0/1 labels (N, C).
        weights: see :func:`group_coefficients`.

    Returns:
        float32 ±1 codes (Q, K). A bit whose sum is exactly 0 is +1.

    Raises:
        InputError: not such codes or labels, or of different sizes.
        ValueError: an unknown weighting.
    """
    if weights not in MAINSTAY_WEIGHTS:
        raise ValueError(f"weights {weights!r}: one of {', '.join(MAINSTAY_WEIGHTS)}")
    return MainstayCodes(train_codes, train_labels, weights).of_labels(labels)
