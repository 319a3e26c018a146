"""Attacks that have learned their images before the first query."""

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.attacks.p2p import Anchors
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class LearnedImages(Attack):
    """A targeted attack that asks the network nothing once it is fitted.

    At attack time nothing is optimised and no gradient taken: ``zero_gradient`` is 0, and T, η and
    restarts, which every protocol passes, have no meaning and are no options here.
    """

    steps: int = 0
    step_size: float | None = None
    restarts: int = 1

    targeted = True

    @abstractmethod
    def generate(self, images: Tensor, labels: Tensor) -> Tensor:
        """The published attack, on float images (B, 3, H, H) in [0, 1] with H as in training.

        ``labels`` are float 0/1 (B, C), the targets'. A ``RuntimeError`` before :meth:`fit`.
        """

    def restart_passes(self, threat: ThreatModel) -> float:
        """The network is not asked."""
        return 0.0

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """:meth:`generate`, projected into the ball; see :meth:`Attack.perturb`."""
        images = queries.images
        adversarial = threat.project(self.generate(images, queries.labels), images)
        return Perturbed(adversarial, torch.zeros(len(images), device=images.device))


@dataclass(frozen=True)
class AnchoredImages(LearnedImages):
    """One that drives codes towards the anchors of their targets, which :meth:`fit` finds."""

    anchors: Anchors | None = field(default=None, repr=False, compare=False)

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """:meth:`Anchors.of` the target labels; a ``RuntimeError`` before :meth:`fit`."""
        return self._fitted(self.anchors).of(labels, query_codes)
