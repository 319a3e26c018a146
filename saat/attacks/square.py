"""Square attack: random squares, no gradients (Andriushchenko et al., ECCV 2020)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saat.attacks.interface import Knowledge, Perturbed, Queries
from saat.attacks.mainstay import MainstayGuided
from saat.codes import sign
from saat.settings import option
from saat.threat_model import ThreatModel

# Share of the pixels that a square covers at first; halved at these of 10,000 queries.
_FIRST_SHARE = 0.8
_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def square_side(query: int, queries: int, size: int) -> int:
    """Side in pixels of the square tried in ``query`` (from 0) of ``queries`` on size² pixels."""
    passed = sum(query * 10_000 // queries > mark for mark in _HALVED_AT)
    side = round(math.sqrt(_FIRST_SHARE / 2**passed) * size)
    return min(max(side, 1), size)


@dataclass(frozen=True)
class Square(MainstayGuided):
    """Square attack: a black box that uses nothing of the network but the codes of its queries.

    A proposal is kept if no fewer bits agree with the goal. In L∞ a square is x ± ε, one sign a
    channel, after a start of vertical stripes, as published. In L2 and L1 the square is added at
    the norm ε and the sum projected, which is simpler than the published L2 variant.

    ``steps`` is the number of queries to the network.
    """

    steps: int = option(5000, ge=1, le=1_000_000, help="queries to the network")

    by_gradient = False

    def scoring(self, queries: Queries, knowledge: Knowledge) -> Callable[[Tensor], Tensor]:
        """Codes ±1 (B, K) that the network answers → what a proposal must not lower, (B,)."""
        goal = self.goal(queries.representatives)
        return lambda codes: (codes * goal).sum(1)

    @torch.no_grad()
    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`; ``step_size`` is not used, no gradient is ever zero."""
        images, score_of = queries.images, self.scoring(queries, knowledge)
        corners, signs, stripes = _draw(queries.seeds, self.steps, images.shape[3])
        start = threat.eps * stripes.to(images.device)[:, :, None, :]
        best = threat.project(images + start, images)
        score = score_of(sign(network(best)))
        for query in range(1, self.steps):
            side = square_side(query, self.steps, images.shape[2])
            proposal = _proposal(best, images, threat, side, corners[:, query], signs[:, query])
            reached = score_of(sign(network(proposal)))
            accepted = reached >= score
            best = torch.where(accepted.view(-1, 1, 1, 1), proposal, best)
            score = torch.where(accepted, reached, score)
        return Perturbed(best, torch.zeros(len(images), device=images.device))


def _proposal(
    best: Tensor, images: Tensor, threat: ThreatModel, side: int, corners: Tensor, signs: Tensor
) -> Tensor:
    size, channels = images.shape[2], images.shape[1]
    corners = (corners * (size - side + 1)).long().to(images.device)
    line = torch.arange(size, device=images.device)
    inside = (line >= corners[:, :, None]) & (line < corners[:, :, None] + side)
    window = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
    signs = signs.to(images.device).view(-1, channels, 1, 1)
    if threat.norm == "linf":
        return threat.project(torch.where(window, images + threat.eps * signs, best), images)
    pixels = channels * side**2
    # More than the whole range of a value would be spent in vain.
    level = min(1.0, threat.eps / (pixels**0.5 if threat.norm == "l2" else pixels))
    return threat.project(best + level * signs * window, images)


def _draw(seeds: Sequence[int], queries: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Corners (B, T, 2) in [0, 1), signs of squares (B, T, 3) and of stripes (B, 3, W)."""
    corners = torch.empty(len(seeds), queries, 2)
    signs = torch.empty(len(seeds), queries, 3)
    stripes = torch.empty(len(seeds), 3, width)
    for row, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for values in (corners, signs, stripes):
            values[row].uniform_(generator=generator)
    return corners, sign(signs - 0.5), sign(stripes - 0.5)
