"""DHTA: towards the vote of database items that carry the target label (Bai et al., ECCV 2020)."""

from dataclasses import dataclass

from saat.attacks.p2p import P2P
from saat.settings import option


@dataclass(frozen=True)
class DHTA(P2P):
    """PGD like P2P towards the bitwise vote of nine database items."""

    anchors: int = option(9, ge=1, le=100_000, help="database codes n that vote on the anchor code")
