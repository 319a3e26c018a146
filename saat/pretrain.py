"""Pretraining: the hashing objective alone, on benign images."""

from dataclasses import dataclass

from torch import Tensor

from saat.optimiser_settings import SgdSettings
from saat.stopwatch import Stage
from saat.training import Training


@dataclass(frozen=True)
class PretrainSettings(SgdSettings):
    """The published settings.

    SGD 0.01, momentum 0.9, weight decay 5e-4, batch 32, 100 epochs, × 0.1 at 34 % and 67 %.
    """


class Pretraining(Training):
    """min L_ori(x); see :class:`saat.training.Training`."""

    stage = "pretrain"
    work = Stage.PRETRAINING

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The objective's loss of a batch."""
        loss: Tensor = self.objective(self.in_parts(self.network, images), labels, index)
        return loss
