"""Adversarial training guided by mainstay codes: the loop that SAAT and CgAT share."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from saat.codes import sign
from saat.data import HashingData
from saat.defenses.minimax import MinimaxSettings, MinimaxTraining
from saat.hashing import CodeMemory, HashingObjective
from saat.mainstay import MainstayCodes, MainstayWeights
from saat.models import HashingNetwork
from saat.settings import option
from saat.training import SgdSettings


@dataclass(frozen=True)
class GuidedSettings(SgdSettings, MinimaxSettings):
    """The adversarial term, and a switch for an accident of the reference implementations.

    ``upstream_aliasing``: in xandery-geek/SAAT and xunguangwang/CgAT the codes that the mainstay
    codes are computed from and the relaxed codes of the hashing objective share storage. So the
    objective starts from sign codes, and the mainstay codes are computed from relaxed codes
    wherever a row was visited. Objectives without a memory of relaxed codes have nothing to share,
    there as here.
    """

    lambda_: float = option(
        1.0, ge=0, le=1e6, key="lambda", help="weight λ of the adversarial term"
    )
    upstream_aliasing: bool = option(
        False, help="share the mainstay codes' storage with the objective's, as upstream does"
    )

    @property
    @abstractmethod
    def weighting(self) -> MainstayWeights:
        """Weighting of the mainstay codes."""


class GuidedTraining(MinimaxTraining):
    """min_θ λ·L_adv + L_ori over max_{‖x'−x‖≤ε} of the distance to the mainstay code.

    Starts from a pretrained network. The sign codes that the mainstay codes are computed from are
    kept apart from the relaxed codes of the hashing objective, unless ``upstream_aliasing`` is on.
    """

    settings: GuidedSettings

    def __init__(
        self,
        network: HashingNetwork,
        objective: HashingObjective,
        data: HashingData,
        settings: GuidedSettings,
        seed: int,
    ) -> None:
        super().__init__(network, objective, data, settings, seed)
        features = self.train_features()
        objective.start_from(features)
        self._shared: CodeMemory | None = None
        if settings.upstream_aliasing and isinstance(objective, CodeMemory):
            self._shared = objective
            objective.memory.copy_(sign(features))
        self.mainstay = self._mainstay_of(sign(features))

    def _mainstay_of(self, codes: Tensor) -> MainstayCodes:
        relaxed = self._shared is not None
        return MainstayCodes(codes, self._labels, self.settings.weighting, relaxed)

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Inner maximisation, then the loss of Eq. 20 with refreshed mainstay codes."""
        attacked = self.inner_maximisation(images, self.mainstay.of_rows(index))
        both = self.in_parts(self.network, torch.cat([images, attacked]))
        features, attacked_features = both.chunk(2)
        self.mainstay.update(index, sign(features.detach()))
        mainstay = self.mainstay.of_rows(index)
        adversarial = self.adversarial_loss(torch.tanh(attacked_features), mainstay)
        original: Tensor = self.objective(features, labels, index)
        if self._shared is not None:
            self.mainstay.update(index, self._shared.memory[index])
        return adversarial + original

    def adversarial_loss(self, relaxed: Tensor, mainstay: Tensor) -> Tensor:
        """−λ·mean(u'·b) of attacked relaxed codes (B, K) and mainstay codes (B, K)."""
        return self.settings.lambda_ * -(relaxed * mainstay).mean()

    def buffers(self) -> dict[str, Tensor]:
        """The codes behind the mainstay codes."""
        return {"codes": self.mainstay.codes}

    def load_buffers(self, tensors: dict[str, Tensor]) -> None:
        """Restore the codes, and with them their group sums."""
        self.mainstay = self._mainstay_of(tensors["codes"].to(self._device))
