"""TTA-GAN: a generator whose images keep their code when resized and turned (MMAsia 2023)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from saat.attacks.generator_attack import GeneratorAttack
from saat.attacks.input_diversity import input_diversity
from saat.attacks.interface import Knowledge, Progress
from saat.attacks.learned_images import AnchoredImages
from saat.attacks.p2p import Anchors, group_of
from saat.attacks.pgd import alpha_at
from saat.codes import sign
from saat.labels import unchecked_relevance
from saat.optimisers import Adam
from saat.prototype import BETAS, target_vectors
from saat.seeding import derive_seed, generator
from saat.settings import option

# Transformed images per step, and what happens to them.
VIEWS = 3
RESIZED = 0.5  # probability
LARGEST = 1.15  # side of the padded image, in sides of the image
DEGREES = 10.0
# The reference implementation divides its discriminator's errors by the 38 classes of FLICKR-25K.
FOOLING = 1 / 38
# Adam's rate on anchor codes; the reference takes 2 on NUS-WIDE.
ANCHOR_RATE = 1.0
# Label vectors whose anchors the reference implementation optimises at once, and divides by.
_VECTORS = 128


def anchor_loss(anchors: Tensor, labels: Tensor, codes: Tensor, code_labels: Tensor) -> Tensor:
    """Log Σ_pos exp(−a_p s) + log Σ_neg exp(a_n s) of every anchor code (B,).

    s = h·c/K over the training codes c, positive where they share a label; a_p = max(2 − s, 0) and
    a_n = max(s + 2, 0) without gradient, as in THA's circle loss. A sum without terms is left out.
    Arguments are those of :func:`saat.prototype.circle_loss`.
    """
    similarity = anchors @ codes.T / anchors.shape[1]
    fixed = similarity.detach()
    positive = unchecked_relevance(labels, code_labels)
    pulled = (-(2 - fixed).clamp_min(0) * similarity).exp() * positive
    pushed = ((fixed + 2).clamp_min(0) * similarity).exp() * ~positive
    # |s| ≤ 1 bounds both, so plain sums do; one without terms is taken as 1.
    return (pulled.sum(1) + ~positive.any(1)).log() + (pushed.sum(1) + positive.all(1)).log()


def view(images: Tensor, draws: torch.Generator) -> Tensor:
    """Images (B, 3, H, H) made smaller with probability ½, then turned by up to 10°.

    The smaller image has between H/1.15 and H pixels a side, and lies at a drawn place among zeros.
    Both are drawn for every image of the batch. Pixels of a turned image are the nearest ones of
    the original, and zero where there are none.
    """
    first = int(torch.randint(2**62, (), generator=draws))
    seeds = [derive_seed("view", first, place) for place in range(len(images))]
    rows, columns = input_diversity(seeds, images, RESIZED, 1 / LARGEST)
    turns = 2 * torch.rand(len(images), generator=draws, dtype=torch.float64) - 1
    return turned(rows @ images @ columns.mT, DEGREES * turns)


def turned(images: Tensor, degrees: Tensor) -> Tensor:
    """Images (B, 3, H, W) turned counterclockwise about their centre by ``degrees`` (B,)."""
    height, width = images.shape[-2:]
    angle = (degrees * math.pi / 180).view(-1, 1, 1)
    y = torch.arange(height, dtype=torch.float64).view(1, -1, 1) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64).view(1, 1, -1) - (width - 1) / 2
    # Where a pixel of the turned image comes from; y points down.
    row = (x * angle.sin() + y * angle.cos() + (height - 1) / 2).round().long()
    column = (x * angle.cos() - y * angle.sin() + (width - 1) / 2).round().long()
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    index = place.flatten(1)[:, None].to(images.device).expand(-1, images.shape[1], -1)
    found = images.flatten(2).gather(2, index).view_as(images)
    return found * inside[:, None].to(images)


@dataclass(frozen=True)
class TTAGAN(GeneratorAttack, AnchoredImages):
    """A generator whose images keep the anchor code of their target when they are transformed.

    It minimises w·MSE(x', x) + mean over 3 views of (1 − mean(tanh f(view(x'))·a)) + what fools a
    discriminator that tells real images from others, and no labels. The generator gets the
    target's labels themselves. The anchor code a is optimised for every label vector by
    :func:`anchor_loss`.

    The published weight of the squared error is 200 on pixels in [0, 1], which is 50 on [−1, 1].
    """

    anchor_steps: int = option(1000, ge=1, le=1_000_000, help="updates of the anchor codes")

    name = "tta_gan"
    fooling = FOOLING
    tells_labels = False

    def aimed(self, knowledge: Knowledge, seed: int, progress: Progress) -> Self:
        """The attack with its anchor codes."""
        vectors = target_vectors(knowledge.database_labels)
        codes = self.anchor_codes(vectors, knowledge, seed)
        return replace(self, anchors=Anchors(vectors.double(), codes))

    def anchor_codes(self, labels: Tensor, knowledge: Knowledge, seed: int) -> Tensor:
        """Sign of h = tanh(α z) after Adam on z, from a drawn start: float ±1 (G, K).

        ``labels`` are 0/1 (G, C); α follows the schedule of the attacks.
        """
        bits = knowledge.train_codes.shape[1]
        start = torch.randn(len(labels), bits, generator=generator("tta anchors", seed))
        pairs = zip(labels.split(_VECTORS), start.split(_VECTORS), strict=True)
        return torch.cat([self._anchors(part, first, knowledge) for part, first in pairs])

    def _anchors(self, labels: Tensor, start: Tensor, knowledge: Knowledge) -> Tensor:
        codes, known = knowledge.train_codes.float(), knowledge.train_labels
        logits = start.to(codes.device).requires_grad_(True)
        optimiser = Adam([logits], lr=ANCHOR_RATE, betas=BETAS)
        for step in range(self.anchor_steps):
            relaxed = torch.tanh(alpha_at(step, self.anchor_steps) * logits)
            total = anchor_loss(relaxed, labels, codes, known).sum() / _VECTORS
            (logits.grad,) = torch.autograd.grad(total, logits)
            optimiser.step()
        return sign(logits.detach()).float()

    def views(self, images: Tensor, draws: torch.Generator) -> Sequence[Tensor]:
        """See :func:`view`."""
        return [view(images, draws) for _ in range(VIEWS)]

    def code_loss(self, features: Tensor, goal: Tensor, knowledge: Knowledge) -> Tensor:
        """1 − mean(tanh f·a)."""
        known = self._fitted(self.anchors)
        anchors = known.codes[group_of(goal, known.vectors)[0]]
        return 1 - (torch.tanh(features) * anchors).mean()
