"""What keeps a training from a collapse, or deploys weights from before it.

The papers have none of this, so each option is off by default and costs nothing then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from saat.averaging import AveragedNetwork, BestEpoch
from saat.data import RetrievalData
from saat.hashing import HashingObjective
from saat.metrics import Phase
from saat.models import HashingNetwork
from saat.optimiser_settings import OptimiserSettings
from saat.settings import option
from saat.training import Training, tensors_under


@dataclass(frozen=True)
class StabilisedSettings(OptimiserSettings):
    """Clipped gradients, averaged weights, and the choice of the epoch that is deployed.

    The score of an epoch under ``select: best`` is clean MAP times robust MAP, both as validation
    measures them after the epoch: the hypervolume of the two.
    """

    clip_gradients: float = option(
        0.0, ge=0, le=1e9, later=True, help="largest L2 norm of the network's gradient; 0: any"
    )
    ema: float = option(
        0.0, ge=0, le=0.999999, later=True, help="decay of averaged, deployed weights; 0: none"
    )
    select: Literal["last", "best"] = option(
        "last", later=True, help="epoch that is deployed; best: by clean × robust MAP in validation"
    )


class StabilisedTraining(Training):
    """A training of the hashing network alone, with :class:`StabilisedSettings`.

    Attributes:
        average: the averaged network, which is deployed; None without ``ema``.
        best: the best epoch so far; None without ``select: best``.
    """

    settings: StabilisedSettings

    def __init__(
        self,
        network: HashingNetwork,
        objective: HashingObjective,
        data: RetrievalData,
        settings: StabilisedSettings,
        seed: int,
    ) -> None:
        super().__init__(network, objective, data, settings, seed)
        self.average = AveragedNetwork(network, settings.ema) if settings.ema else None
        self.best = BestEpoch() if settings.select == "best" else None

    @property
    def defended(self) -> nn.Module:
        """The averaged network where there is one."""
        return self.average.network if self.average else self.network

    @classmethod
    def keeps_codes(cls, settings: OptimiserSettings) -> bool:
        """Not where the averaged network is deployed: the other one encodes what it visits."""
        assert isinstance(settings, StabilisedSettings)
        return super().keeps_codes(settings) and not settings.ema

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
        clean, robust = (
            metrics[Phase.VALIDATION.key(name)] for name in ("clean_map", "robust_map")
        )
        self.best.consider(self.epoch, clean * robust, self.defended)
        return Phase.TRAINING.keyed({"best_epoch": float(self.best.epoch)})

    def conclude(self) -> None:
        """Deploy the best epoch."""
        if self.best:
            self.best.give(self.defended)

    def state(self, meta: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Average and best epoch too, where there are such."""
        tensors, known = super().state(meta)
        if self.average:
            tensors |= {f"average.{name}": part for name, part in self.average.tensors().items()}
        if self.best:
            tensors |= {f"best.{name}": part for name, part in self.best.tensors().items()}
            known["best"] = self.best.meta()
        return tensors, known

    def load_state(self, tensors: dict[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        super().load_state(tensors, meta)
        if self.average:
            self.average.load(tensors_under("average.", tensors))
        if self.best:
            self.best.load(tensors_under("best.", tensors), meta["best"])
