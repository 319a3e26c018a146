"""Retrieval metrics from distance histograms: AP, MAP, t-MAP, P@N, precision–recall, chance.

With K-bit codes there are only K + 1 possible distances, so most of a ranking is ties. Everything
but the stable order is a function of two histograms per query (items and relevant items at each
distance); no sort is needed. A targeted attack's t-MAP is the same computation with the target
labels in place of the query's.

The denominator of AP is the number of relevant items *within the top* ``top_k`` (the convention
of the deep hashing literature). Queries without a relevant item score 0 and stay in every mean, in
bootstraps over queries, and in curves of precision over recall.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from saat.blocks import rows_at_once
from saat.codes import check_codes
from saat.curves import RECALL_LEVELS, precision_at_recall
from saat.distance_counts import count_distances, relevance_in_stable_order
from saat.errors import InputError, check_known
from saat.labels import check_classes, check_labels, unchecked_relevance
from saat.packed_codes import Packed
from saat.protocol_options import TIES, Ties
from saat.wording import counted


class DistanceHistograms(NamedTuple):
    """Database items per query and Hamming distance: int64 (Q, K+1) each."""

    total: Tensor
    relevant: Tensor


class PrecisionRecall(NamedTuple):
    """A curve: recall and mean precision over the queries, float64 (L,) each, in [0, 1]."""

    recall: Tensor
    precision: Tensor


class Database:
    """Codes and labels that queries retrieve from, packed once for any number of queries.

    Codes are ±1 (N, K), labels 0/1 (N, C). Distances are counted on the CPU; results come back to
    the device of the query codes.

    Raises:
        InputError: not such codes or labels, or of different sizes.
    """

    def __init__(self, codes: Tensor, labels: Tensor) -> None:
        self.codes, self.labels = codes, labels
        self._packed = _packed("database", codes, labels)

    def histograms(
        self, query_codes: Tensor, query_labels: Tensor, depth: int | None = None
    ) -> DistanceHistograms:
        """Items, and relevant items, at every Hamming distance from every query.

        With a ``depth``, as far as the nearest ``depth`` items. Queries and errors are those of
        :func:`average_precision`.
        """
        packed = self._queries(query_codes, query_labels)
        counts = count_distances(packed, self._packed, depth or len(self.codes))
        both = torch.from_numpy(counts).to(query_codes.device)
        return DistanceHistograms(both.sum(2), both[..., 1].clone())

    def average_precision(
        self,
        query_codes: Tensor,
        query_labels: Tensor,
        top_k: int | None = None,
        ties: Ties = "expected",
    ) -> Tensor:
        """See :func:`average_precision`."""
        check_known("ties", ties, TIES)
        depth = resolved_top_k(top_k, len(self.codes))
        if ties == "expected":
            histograms = self.histograms(query_codes, query_labels, depth)
            return expected_average_precision(histograms, depth)
        packed = self._queries(query_codes, query_labels)
        scores = torch.zeros(len(query_codes), dtype=torch.float64)
        ranks = torch.arange(1, depth + 1, dtype=torch.float64)
        step = rows_at_once(depth)
        for start in range(0, len(scores), step):
            block = slice(start, start + step)
            order = relevance_in_stable_order(packed.columns(block), self._packed, depth)
            hits = torch.from_numpy(order).double()
            found = hits.sum(1)
            gain = (hits.cumsum(1) / ranks * hits).sum(1)
            scores[block] = torch.where(found > 0, gain / found.clamp_min(1), 0.0)
        return scores.to(query_codes.device)

    def _queries(self, codes: Tensor, labels: Tensor) -> Packed:
        packed = _packed("query", codes, labels)
        check_classes(labels, self.labels)
        # Without queries the length of their codes is unknown.
        if len(codes) and codes.shape[1] != self.codes.shape[1]:
            raise InputError(
                f"query_codes: {counted(codes.shape[1], 'bit')}; database_codes has "
                f"{self.codes.shape[1]}"
            )
        return packed


def _packed(name: str, codes: Tensor, labels: Tensor) -> Packed:
    """Packed items; class indices or 0/1 codes, which would give wrong numbers, are refused."""
    check_codes(f"{name}_codes", codes)
    check_labels(f"{name}_labels", labels)
    if len(codes) != len(labels):
        raise InputError(
            f"{name}_labels: {counted(len(labels), 'row')}; {name}_codes has {len(codes)}"
        )
    return Packed.of(codes, labels)


def expected_average_precision(histograms: DistanceHistograms, top_k: int) -> Tensor:
    """Tie-expected AP (McSherry & Najork 2008; He et al., CVPR 2018, arXiv 1705.08562).

    Within a block of n items at equal distance, r of them relevant, that follows N₀ items with
    R₀ relevant, every order is equally likely; the expected contribution is
    Σ_i (r/n)(R₀ + 1 + (i−1)(r−1)/(n−1))/(N₀ + i), cut at ``top_k``. The sum over i is closed form
    in harmonic numbers H: with ΔH = H(N₀+m) − H(N₀) over the m items inside the cut,
    Σ 1/(N₀+i) = ΔH and Σ (i−1)/(N₀+i) = m − (N₀+1)ΔH.

    The result is float64 (Q,), over E[number of relevant items within top_k]; 0 where that is 0.
    """
    total, relevant = (part.double() for part in histograms)
    before = total.cumsum(1) - total
    relevant_before = relevant.cumsum(1) - relevant
    inside = (top_k - before).clamp(min=0).minimum(total)
    ranks = torch.arange(1, top_k + 1, dtype=torch.float64, device=total.device)
    harmonic = torch.cat([ranks.new_zeros(1), ranks.reciprocal().cumsum(0)])
    start = before.clamp(max=top_k).long()
    delta = harmonic[start + inside.long()] - harmonic[start]
    share = torch.where(total > 0, relevant / total.clamp_min(1), 0.0)
    slope = torch.where(total > 1, (relevant - 1) / (total - 1).clamp_min(1), 0.0)
    gain = share * ((relevant_before + 1) * delta + slope * (inside - (before + 1) * delta))
    found = (share * inside).sum(1)
    return torch.where(found > 0, gain.sum(1) / found.clamp_min(1e-300), 0.0)


def average_precision(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    top_k: int | None = None,
    ties: Ties = "expected",
) -> Tensor:
    """AP@top_k of every query.

    >>> import saat, torch
    >>> database_codes = torch.tensor([[1, 1], [1, -1], [-1, -1]])
    >>> database_labels = torch.tensor([[1, 0], [0, 1], [1, 0]])
    >>> query_codes, query_labels = torch.tensor([[1, 1]]), torch.tensor([[1, 0]])
    >>> saat.average_precision(query_codes, query_labels, database_codes, database_labels)
    tensor([0.8333], dtype=torch.float64)

    Args:
        query_codes: ±1 codes (Q, K).
        query_labels: 0/1 labels (Q, C).
        database_codes: ±1 codes (N, K).
        database_labels: 0/1 labels (N, C).
        top_k: depth of the ranking, 1…N; the whole database where None.
        ties: ``"expected"`` over all orders of equal distances, or ``"stable"`` by database index
            (for comparison with published numbers; it depends on the order of the database).

    Returns:
        float64 (Q,) in [0, 1].

    Raises:
        InputError: not such codes or labels, or of different sizes; ``top_k`` outside 1…N, or
            unknown ``ties``.
    """
    database = Database(database_codes, database_labels)
    return database.average_precision(query_codes, query_labels, top_k, ties)


def resolved_top_k(top_k: int | None, database_size: int) -> int:
    """``top_k`` within 1…``database_size``, or an ``InputError``; the whole database where None."""
    depth = database_size if top_k is None else top_k
    if not 1 <= depth <= database_size:
        raise InputError(f"top_k {depth}: 1 to {database_size}, the size of the database")
    return depth


def mean_average_precision(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    top_k: int | None = None,
    ties: Ties = "expected",
) -> float:
    """Mean of :func:`average_precision` over the queries, in [0, 1]; NaN without queries.

    >>> import saat, torch
    >>> codes, labels = torch.tensor([[1, 1], [-1, -1]]), torch.eye(2)
    >>> saat.mean_average_precision(codes, labels, codes, labels)
    1.0

    Arguments and errors are those of :func:`average_precision`.
    """
    arguments = (query_codes, query_labels, database_codes, database_labels)
    return float(average_precision(*arguments, top_k=top_k, ties=ties).mean())


def chance_average_precision(
    query_labels: Tensor, database_labels: Tensor, top_k: int | None = None
) -> Tensor:
    """Expected AP@top_k of a random order of the database: float64 (Q,).

    The whole database as one block of ties; the level that any robust MAP must be read against.

    >>> import saat, torch
    >>> labels = torch.tensor([[1, 0], [0, 1]])
    >>> saat.chance_average_precision(labels, labels)
    tensor([0.7500, 0.7500], dtype=torch.float64)

    Arguments and errors are those of :func:`average_precision`.
    """
    check_labels("query_labels", query_labels)
    check_labels("database_labels", database_labels)
    check_classes(query_labels, database_labels)
    database_labels = database_labels.float()  # once, not once a block
    size = rows_at_once(len(database_labels))
    relevant = query_labels.new_empty((len(query_labels), 1), dtype=torch.int64)
    for part, block in zip(relevant.split(size), query_labels.split(size), strict=True):
        torch.sum(unchecked_relevance(block, database_labels), 1, keepdim=True, out=part)
    total = torch.full_like(relevant, len(database_labels))
    depth = resolved_top_k(top_k, len(database_labels))
    return expected_average_precision(DistanceHistograms(total, relevant), depth)


def precision_at(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    depths: Sequence[int] | Tensor,
) -> Tensor:
    """Precision within the first n items (P@N) of every query, for every n in ``depths``.

    The expectation over all orders of equal distances; 0 for a query without a relevant item.

    >>> import saat, torch
    >>> codes, labels = torch.tensor([[1, 1], [-1, -1]]), torch.eye(2)
    >>> saat.precision_at(codes, labels, codes, labels, [1, 2]).mean(0)
    tensor([1.0000, 0.5000], dtype=torch.float64)

    Codes, labels and errors are those of :func:`average_precision`. ``depths`` are D numbers, each
    1…N; the result is float64 (Q, D) in [0, 1].
    """
    database = Database(database_codes, database_labels)
    total, relevant = (part.double() for part in database.histograms(query_codes, query_labels))
    wanted = torch.as_tensor(depths, device=query_codes.device)
    for depth in wanted.tolist():
        if not 1 <= depth <= len(database_codes):
            raise InputError(f"depths: {depth}: 1 to {len(database_codes)}, the database's size")
    before = total.cumsum(1) - total
    inside = (wanted.double()[None, :, None] - before[:, None, :]).clamp(min=0)
    share = torch.where(total > 0, relevant / total.clamp_min(1), 0.0)
    found = (inside.minimum(total[:, None, :]) * share[:, None, :]).sum(2)
    return found / wanted.double()


def precision_recall(
    query_codes: Tensor, query_labels: Tensor, database_codes: Tensor, database_labels: Tensor
) -> PrecisionRecall:
    """Precision at 40 levels of recall, mean over the queries.

    Recall is of all relevant items of the database. Ties are in random order; see
    :func:`saat.curves.precision_at_recall`. Arguments and errors are those of
    :func:`average_precision`.

    >>> import saat, torch
    >>> codes, labels = torch.tensor([[1, 1], [-1, -1]]), torch.eye(2)
    >>> recall, precision = saat.precision_recall(codes, labels, codes, labels)
    >>> recall[-1].item(), precision[-1].item()
    (1.0, 1.0)
    """
    histograms = Database(database_codes, database_labels).histograms(query_codes, query_labels)
    precision = precision_at_recall(*(counts.cpu().numpy() for counts in histograms))
    return PrecisionRecall(torch.from_numpy(RECALL_LEVELS.copy()), torch.from_numpy(precision))
