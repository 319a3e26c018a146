"""What the triplet defenses share: triplets within a batch, and an attack on all at once.

HM and CA-TRIDE were published for embeddings on the unit sphere and their Euclidean distances. Here
the embedding is the direction of the relaxed code, e = u/‖u‖ with u = tanh(f). Of codes ±1 the
distance is 2·√(D/K), D the Hamming distance, so it lies within [0, 2] like theirs.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from saat.attacks.interface import gradient_passes
from saat.attacks.query_batches import frozen
from saat.defenses.minimax import MinimaxTraining, SaatSchedule
from saat.labels import unchecked_relevance
from saat.micro_batches import in_parts
from saat.models import folded
from saat.settings import option
from saat.stopwatch import Stage, stage
from saat.work import TRAINING_STEP, Work


@dataclass(frozen=True)
class TripletSettings(SaatSchedule):
    """Margin and step of both papers; optimiser and schedule are SAAT's, to compare all of them."""

    step_size: float | Literal["auto"] = option(
        1 / 255, ge=1e-6, le=1, help="inner step η, fraction of 1, or auto = max(ε/4, 2.5·ε/T)"
    )
    lambda_: float = option(
        1.0, ge=0, le=1e6, key="lambda", help="weight λ of the loss of attacked triplets"
    )
    margin: float = option(0.2, ge=0, le=2, help="margin γ of the triplet loss")

    # Attacked images of a batch, relative to its size, where all anchors have triplets.
    attacked_share: ClassVar[float]

    @property
    def epoch_work(self) -> Work:
        """T input gradients of every attacked image, then a step on it and on the benign ones."""
        inner = self.attacked_share * gradient_passes(self.steps)
        return Work(inner=inner, training=(1 + self.attacked_share) * TRAINING_STEP)


class Triplets(NamedTuple):
    """Positions within a batch, int64 (M,): images, ones that share a label, ones that do not."""

    anchors: Tensor
    positives: Tensor
    negatives: Tensor


class TripletTraining(MinimaxTraining):
    """min_θ L_ori + λ·L(attacked triplets); L and the attack are the subclass's.

    As in both papers half of a batch are anchors: here its first half, since batches are drawn at
    random. An anchor without a positive or a negative in the batch has no triplet.
    """

    has_graphs = False  # they have one shape, and batches different numbers of triplets
    settings: TripletSettings

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Mine triplets, attack them, then both terms."""
        features = self.in_parts(self.network, images)
        original: Tensor = self.objective(features, labels, index)
        embedded = normalize(torch.tanh(features))
        triplets = self.triplets(embedded.detach(), labels)
        if not len(triplets.anchors):
            return original
        return original + self.settings.lambda_ * self.triplet_term(images, embedded, triplets)

    @torch.no_grad()
    def triplets(self, embedded: Tensor, labels: Tensor) -> Triplets:
        """Triplets of embeddings (B, K) with labels (B, C)."""
        anchors = torch.arange(len(labels) // 2, device=labels.device)
        related = unchecked_relevance(labels[anchors], labels)
        others = torch.ones_like(related)
        others[anchors, anchors] = False
        positives, negatives = related & others, ~related & others
        away = torch.cdist(embedded[anchors], embedded)
        usable = positives.any(1) & negatives.any(1)
        chosen = self.mined(away, positives, negatives)
        return Triplets(*(rows[usable] for rows in (anchors, *chosen)))

    @abstractmethod
    def mined(self, away: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """One positive and one negative for every anchor, int64 (A,) each.

        ``away`` (A, B) are distances from A anchors to B images, and bool (A, B) says which ones
        may be chosen. Anchors without either are dropped later.
        """

    @abstractmethod
    def triplet_term(self, images: Tensor, embedded: Tensor, triplets: Triplets) -> Tensor:
        """Attack, and the scalar loss of the attacked triplets, of which there is at least one.

        Images are float (B, 3, H, W) in [0, 1]; their embeddings (B, K) have a gradient.
        """

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (B, K) of length 1, with gradient."""
        return normalize(torch.tanh(self.in_parts(self.network, images)))

    def joint_maximisation(self, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """PGD on a loss that joins images, from the images themselves as in both papers.

        ``loss`` maps embeddings (B, K) to what is minimised, of any shape; its sum counts. Images
        are float (B, 3, H, W) in [0, 1], and so is the result.
        """
        with stage(Stage.INNER_PGD), frozen(self.network):
            network = folded(self.network)  # anew: the weights change with every batch
            return self.descended(
                lambda point: in_parts(network, (point,), self.physical_batch, [network]),
                images,
                lambda features, _: loss(normalize(torch.tanh(features))),
                images,
            )


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (B,) of rows (B, K); of equal rows 0, and without a gradient there."""
    found: Tensor = torch.linalg.vector_norm(a - b, dim=1)
    return found


def drawn(preferred: Tensor, allowed: Tensor) -> Tensor:
    """A random column of every row, int64 (A,): of the preferred ones, of the allowed if none is.

    Both are bool (A, B). A row without an allowed column gets any.
    """
    noise = torch.rand(allowed.shape).to(allowed.device)
    return (noise + allowed.float() + (allowed & preferred).float()).argmax(1)
