"""What the adversarial trainings share: an inner maximisation, and what keeps off a collapse.

The papers do nothing against a collapse, so each of these options is off by default and costs
nothing then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from saat.attacks.interface import gradient_passes
from saat.attacks.pgd import QueryLoss, default_step_size, pgd
from saat.attacks.query_batches import frozen
from saat.averaging import AveragedNetwork
from saat.data import RetrievalData
from saat.graphs import GraphedAttack
from saat.hashing import HashingObjective
from saat.metrics import Phase
from saat.micro_batches import joined, parts
from saat.models import HashingNetwork, folded
from saat.optimiser_settings import OptimiserSettings, SgdSettings
from saat.settings import option
from saat.stopwatch import Stage, stage
from saat.tensor_file import prefixed, tensors_under
from saat.threat_model import ThreatModel
from saat.training import Training
from saat.work import TRAINING_STEP, Work


@dataclass(frozen=True)
class MinimaxSettings(OptimiserSettings):
    """Ball and steps of the inner maximisation, PGD-7 at 8/255; what keeps off a collapse.

    The score of an epoch under ``select: best`` is what clean MAP exceeds chance by, times robust
    MAP, as validation measures them after the epoch: the hypervolume of the two from chance and 0.
    """

    clip_gradients: float = option(
        0.0, ge=0, le=1e9, later=True, help="largest L2 norm of the network's gradient; 0: any"
    )
    ema: float = option(
        0.0, ge=0, le=0.999999, later=True, help="decay of averaged, deployed weights; 0: none"
    )
    select: Literal["last", "best"] = option(
        "last",
        later=True,
        help="epoch that is deployed; best: by (clean − chance) × robust MAP in validation",
    )
    eps: float = option(8 / 255, ge=0, le=1, help="radius ε of the inner ball, fraction of 1")
    steps: int = option(7, ge=1, le=1000, help="inner PGD iterations T")
    step_size: float | Literal["auto"] = option(
        2 / 255, ge=1e-6, le=1, help="inner step η, fraction of 1, or auto = max(ε/4, 2.5·ε/T)"
    )
    eps_warmup: int = option(
        0, ge=0, le=100_000, later=True, help="first epochs, in which ε and η grow to full size"
    )

    decay_at = (0.5, 0.75)
    start_work = Work(encoding=1)

    @property
    def epoch_work(self) -> Work:
        """T inner input gradients, then a step on the benign and the attacked image."""
        return Work(inner=gradient_passes(self.steps), training=2 * TRAINING_STEP)

    @property
    def inner_step(self) -> float:
        """η in numbers."""
        if self.step_size == "auto":
            return default_step_size(self.eps, self.steps)
        return self.step_size


@dataclass(frozen=True)
class SaatSchedule(SgdSettings, MinimaxSettings):
    """SAAT's optimiser and schedule, also of defenses that are compared with it."""

    epochs: int = option(20, ge=1, le=100_000, help="passes over the training set")
    lr: float = option(0.05, ge=1e-9, le=100, help="learning rate of SGD")
    momentum: float = option(0.0, ge=0, le=1, help="momentum of SGD")
    weight_decay: float = option(1e-5, ge=0, le=10, help="weight decay of SGD")


class BestEpoch(NamedTuple):
    """The epoch (from 1) with the highest score so far, and a copy of its weights.

    Of equal scores it is the first one; a NaN is never the highest. 0 is before the first epoch.
    """

    epoch: int = 0
    score: float = float("-inf")
    weights: Mapping[str, Tensor] = {}


class MinimaxTraining(Training):
    """A pretrained network, trained on images attacked within the ball of the settings.

    Attributes:
        average: the averaged network, which is deployed; None without ``ema``.
        best: the best epoch so far; None without ``select: best``.
    """

    has_graphs = True
    settings: MinimaxSettings
    _graph: GraphedAttack | None = None
    _graphed: ThreatModel | None = None  # its ball

    def __init__(
        self,
        network: HashingNetwork,
        objective: HashingObjective,
        data: RetrievalData,
        settings: MinimaxSettings,
        seed: int,
    ) -> None:
        super().__init__(network, objective, data, settings, seed)
        self.average = AveragedNetwork(network, settings.ema) if settings.ema else None
        self.best = BestEpoch() if settings.select == "best" else None

    def prepare(self) -> None:
        """The codes of the pretrained network, for the objective."""
        self.objective.start_from(self.train_features())

    @property
    def defended(self) -> nn.Module:
        """The averaged network where there is one."""
        return self.average.network if self.average else self.network

    @classmethod
    def keeps_codes(cls, settings: OptimiserSettings) -> bool:
        """Not where the averaged network is deployed: the other one encodes what it visits."""
        assert isinstance(settings, MinimaxSettings)
        return super().keeps_codes(settings) and not settings.ema

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

        Minimises :meth:`inner_loss`; codes −b (B, K) drive images towards b. Images are float
        (B, 3, H, W) in [0, 1], and so is the result.
        """
        eps = self.ball.eps
        batch = images, codes, images + torch.empty_like(images).uniform_(-eps, eps)
        if self.graphs and (graph := self._graph_for(*batch)):
            return graph(*batch)
        with stage(Stage.INNER_PGD), frozen(self.network):
            network = folded(self.network)  # anew: the weights change with every batch
            split = parts(batch, self.physical_batch)
            return joined([self._driven_away(network, *part) for part in split])

    @staticmethod
    def inner_loss(features: Tensor, codes: Tensor) -> Tensor:
        """What the attack makes small, of every image (B,): (1/K) bᵀ tanh(f), α = 1 (Eq. 13, 15).

        Of pre-tanh features f (B, K), and the codes b of :meth:`inner_maximisation`.
        """
        return (torch.tanh(features) * codes).mean(1)

    def split_batches(self, physical_batch: int) -> None:
        """See :meth:`Training.split_batches`; the graph, which holds whole batches, is dropped."""
        super().split_batches(physical_batch)
        self.graphs, self._graph = False, None

    def _graph_for(self, images: Tensor, codes: Tensor, start: Tensor) -> GraphedAttack | None:
        """The graph of the present ball; None for a batch of another shape than its first one."""
        if self._graph is None or self._graphed != self.ball:
            self._graph = None  # its memory is free for the next one
            with frozen(self.network):
                self._graph = GraphedAttack(
                    lambda *batch: self._driven_away(self.network, *batch), images, codes, start
                )
            self._graphed = self.ball
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

    def update(self) -> None:
        """Clip the gradient of the network, step, and average the weights."""
        if self.settings.clip_gradients:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_gradients)
        super().update()
        if self.average:
            self.average.update(self.network)

    def judge(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Keep what is deployed now if its score is the highest so far: ``train/best_epoch``."""
        if self.best is None:
            return {}
        measured = Phase.VALIDATION.of(metrics)
        # At chance no attack lowers MAP, so the product of both would be large.
        score = (measured["clean_map"] - measured["chance_map"]) * measured["robust_map"]
        if score > self.best.score:
            weights = {name: part.clone() for name, part in self.defended.state_dict().items()}
            self.best = BestEpoch(self.epoch, score, weights)
        return Phase.TRAINING.keyed({"best_epoch": float(self.best.epoch)})

    def conclude(self) -> None:
        """Deploy the best epoch."""
        if self.best and self.best.weights:
            self.defended.load_state_dict(self.best.weights)

    def state(self, meta: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Average and best epoch too, where there are such."""
        tensors, known = super().state(meta)
        if self.average:
            tensors |= prefixed("average", self.average.tensors())
        if self.best:
            tensors |= prefixed("best", self.best.weights)
            meta = {"epoch": self.best.epoch, "score": self.best.score}
            known["best"] = meta if self.best.epoch else {}
        return tensors, known

    def load_state(self, tensors: dict[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        super().load_state(tensors, meta)
        if self.average:
            self.average.load(tensors_under("average", tensors))
        if self.best:
            self.best = BestEpoch(**meta["best"], weights=tensors_under("best", tensors))
