"""A black box that sees nothing but the ranked list that a retrieval service returns."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from saat.attacks.interface import Knowledge, Queries
from saat.attacks.square import Square
from saat.codes import unchecked_hamming_distance
from saat.labels import unchecked_relevance
from saat.settings import option


@dataclass(frozen=True)
class RankOnly(Square):
    """Square attack on a score of ranks: the attacker gets the first items of the database.

    The score is the negative discounted gain of the list, −Σ_i rel_i / log₂(1 + i), i the rank
    from 1 and rel_i whether the item shares a label with the query, which the attacker sees in the
    returned images (DCG: Järvelin & Kekäläinen 2002). Neither codes nor distances are used. That
    this gain is what is lowered is a choice of this project.

    ``steps`` is the number of queries to the service, which returns items of equal distance by
    their position. The theoretical result is that of the mainstay code: the score names no code.
    """

    returned: int = option(1000, ge=1, le=1_000_000, help="items of the list that come back")

    def scoring(self, queries: Queries, knowledge: Knowledge) -> Callable[[Tensor], Tensor]:
        """See the class; a list is as long as the database where that has fewer items."""
        codes = knowledge.database_codes
        labels = queries.labels.to(codes.device)
        related = unchecked_relevance(labels, knowledge.database_labels)
        length = min(self.returned, len(codes))
        ranks = torch.arange(1, length + 1, dtype=torch.float64, device=codes.device)
        discount = 1 / torch.log2(1 + ranks)

        def score(found: Tensor) -> Tensor:
            items = returned_items(found.to(codes.device), codes, length)
            return -(related.gather(1, items) * discount).sum(1).to(found.device)

        return score


def returned_items(queries: Tensor, codes: Tensor, length: int) -> Tensor:
    """Positions of the nearest items, int64 (B, length), as a service orders them.

    By Hamming distance of ±1 codes (B, K) and (M, K), and of equal distance by position.
    """
    order = torch.arange(len(codes), device=codes.device)
    keys = unchecked_hamming_distance(queries, codes).long() * len(codes) + order
    return keys.topk(length, dim=1, largest=False).indices
