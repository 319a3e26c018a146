"""PgA: the pharos-guided attack (Wang et al., arXiv 2303.12658)."""

from dataclasses import dataclass

from saat.attacks.mainstay import MainstayAttack
from saat.mainstay import MainstayWeights
from saat.settings import option


@dataclass(frozen=True)
class PgA(MainstayAttack):
    """The mainstay attack away from the pharos code: relevant and other items weigh alike.

    The pharos code is the sign of the mean relevant code minus the mean of the others; CgAT trains
    with it as the center code.
    """

    weights: MainstayWeights = option("cgat", help="weighting of the mainstay codes")
