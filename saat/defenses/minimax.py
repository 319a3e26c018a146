"""What the adversarial trainings share: an inner maximisation, and frozen batch statistics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from saat.attacks.interface import gradient_passes
from saat.attacks.pgd import QueryLoss, default_step_size, pgd
from saat.attacks.query_batches import frozen
from saat.defenses.stabilised import StabilisedSettings, StabilisedTraining
from saat.graphs import GraphedPgd
from saat.micro_batches import joined, parts
from saat.models import folded
from saat.optimiser_settings import OptimiserSettings
from saat.settings import option
from saat.stopwatch import Stage, stage
from saat.threat_model import ThreatModel
from saat.work import TRAINING_STEP, Work


@dataclass(frozen=True)
class MinimaxSettings(StabilisedSettings):
    """The ball and the steps of the inner maximisation: PGD-7 at 8/255 with step 2/255."""

    eps: float = option(8 / 255, ge=0, le=1, help="radius ε of the inner ball, fraction of 1")
    steps: int = option(7, ge=1, le=1000, help="inner PGD iterations T")
    step_size: float | Literal["auto"] = option(
        2 / 255, ge=1e-6, le=1, help="inner step η, fraction of 1, or auto = max(ε/4, 2.5·ε/T)"
    )
    eps_warmup: int = option(
        0, ge=0, le=100_000, later=True, help="first epochs, in which ε and η grow to full size"
    )

    decay_at = (0.5, 0.75)

    @property
    def inner_step(self) -> float:
        """η in numbers."""
        if self.step_size == "auto":
            return default_step_size(self.eps, self.steps)
        return self.step_size


class MinimaxTraining(StabilisedTraining):
    """A pretrained network, trained on images attacked within the ball of the settings."""

    settings: MinimaxSettings
    _graph: GraphedPgd | None = None

    @classmethod
    def epoch_work(cls, settings: OptimiserSettings) -> Work:
        """T inner input gradients, then a step on the benign and the attacked image."""
        assert isinstance(settings, MinimaxSettings)
        return Work(inner=gradient_passes(settings.steps), training=2 * TRAINING_STEP)

    def set_mode(self) -> None:
        """Dropout on; batch statistics frozen, or attacked batches would pollute them."""
        super().set_mode()
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    @property
    def ball(self) -> ThreatModel:
        """The ball of the present epoch: of e epochs of warm-up, epoch n has ε·n/(e + 1)."""
        return ThreatModel(self.settings.eps * self._grown)

    @property
    def pgd_step(self) -> float:
        """η of the present epoch."""
        return self.settings.inner_step * self._grown

    @property
    def _grown(self) -> float:
        """Share of ε and η in the present epoch; 1 after the warm-up, and without one."""
        return min(1.0, (self.epoch + 1) / (self.settings.eps_warmup + 1))

    def inner_maximisation(self, images: Tensor, codes: Tensor) -> Tensor:
        """PGD from a uniform random start that drives images away from codes.

        Minimises :meth:`inner_loss`; codes −b drive images towards b.

        Args:
            images: float (B, 3, H, W) in [0, 1].
            codes: ±1 (B, K), one b per image.

        Returns:
            Adversarial float images (B, 3, H, W) in [0, 1].
        """
        eps = self.ball.eps
        start = images + torch.empty_like(images).uniform_(-eps, eps)
        if self.graphs and (graph := self._graph_for(images, codes)):
            return graph(images, codes, start)
        split = parts((images, codes, start), self.physical_batch)
        with stage(Stage.INNER_PGD), frozen(self.network):
            network = folded(self.network)  # anew: the weights change with every batch
            return joined([self._driven_away(network, *part) for part in split])

    @staticmethod
    def inner_loss(features: Tensor, codes: Tensor) -> Tensor:
        """What the attack makes small, of every image (B,): (1/K) bᵀ tanh(f), α = 1 (Eq. 13, 15).

        Args:
            features: pre-tanh (B, K), of attacked images.
            codes: (B, K), as they were given to :meth:`inner_maximisation`.
        """
        return (torch.tanh(features) * codes).mean(1)

    def use_graphs(self) -> None:
        """Replay the inner maximisation as one CUDA graph; batches of another size run eagerly."""
        self.graphs = True

    def split_batches(self, physical_batch: int) -> None:
        """See :meth:`Training.split_batches`; the graph, which holds whole batches, is dropped."""
        super().split_batches(physical_batch)
        self.graphs, self._graph = False, None

    def _graph_for(self, images: Tensor, codes: Tensor) -> GraphedPgd | None:
        """The graph of the present ball; None for a batch of another shape than its first one."""
        if self._graph is None or self._graph.threat != self.ball:
            self._graph = None  # its memory is free for the next one
            self._graph = GraphedPgd(
                self.network, images.shape, codes.shape[1], self.ball, self.settings.steps,
                self.pgd_step, self.inner_loss,
            )  # fmt: skip
        return self._graph if images.shape == self._graph.shape else None

    def _driven_away(
        self, network: nn.Module, images: Tensor, codes: Tensor, start: Tensor
    ) -> Tensor:
        return self.descended(
            network, images, lambda features, _: self.inner_loss(features, codes), start
        )

    def descended(
        self, network: Callable[[Tensor], Tensor], images: Tensor, loss: QueryLoss, start: Tensor
    ) -> Tensor:
        """PGD with the ball, the steps and the step of the present epoch, see :func:`pgd`."""
        return pgd(
            network, images, loss, self.ball, self.settings.steps, self.pgd_step, start,
            count_zeros=False,
        ).images  # fmt: skip
