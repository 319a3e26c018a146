"""SAAT: semantic-aware adversarial training as a minimax game around mainstay codes (Eq. 17-20)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from saat.codes import sign
from saat.defenses.minimax import MinimaxSettings, MinimaxTraining, SaatSchedule
from saat.hashing import CodeMemory
from saat.mainstay import MainstayCodes, MainstayWeights
from saat.models import codes_of
from saat.optimiser_settings import SgdSettings
from saat.settings import option


@dataclass(frozen=True)
class GuidedSettings(SgdSettings, MinimaxSettings):
    """The adversarial term, and a switch for an accident of the reference implementations.

    ``upstream_aliasing``: in xandery-geek/SAAT and xunguangwang/CgAT the codes that the mainstay
    codes are computed from and the relaxed codes of the training set share storage. So the
    objective starts from sign codes, and the mainstay codes are computed from relaxed codes
    wherever a row was visited. In SAAT only objectives write relaxed codes, so those that keep none
    (csq, ortho) have nothing to share; in CgAT the loop writes them.
    """

    lambda_: float = option(
        1.0, ge=0, le=1e6, key="lambda", help="weight λ of the adversarial term"
    )
    upstream_aliasing: bool = option(
        False, help="share the mainstay codes' storage with the objective's, as upstream does"
    )

    @property
    def weighting(self) -> MainstayWeights:
        """Weighting of the mainstay codes: binary, as in CgAT."""
        return "cgat"


@dataclass(frozen=True)
class SaatSettings(SaatSchedule, GuidedSettings):
    """The published settings.

    μ weighs the *mean* over the K bits as in the reference implementation; Eq. 19 has the sum, so
    the paper's μ is this one divided by K.
    """

    mu: float = option(1e-4, ge=0, le=1e6, help="weight μ of the quantisation term")
    weights: MainstayWeights = option("saat", help="weighting of the mainstay codes")

    published: ClassVar[tuple[str, ...]] = ("lambda", "mu", "eps", "steps", "step_size")

    @property
    def weighting(self) -> MainstayWeights:
        """The option ``weights``."""
        return self.weights


class GuidedTraining(MinimaxTraining):
    """min_θ λ·L_adv + L_ori over max_{‖x'−x‖≤ε} of the distance to the mainstay code.

    Attributes:
        loop_relaxes_codes: whether upstream the training loop relaxes the batch's codes, before
            the mainstay codes of the loss are computed. Otherwise the objective does, after that.
    """

    loop_relaxes_codes: ClassVar[bool] = False
    settings: GuidedSettings

    def prepare(self) -> None:
        """The codes of the pretrained network, for the objective and for the mainstay codes."""
        features = self.train_features()
        self.objective.start_from(features)
        relaxed = self.loop_relaxes_codes or self.objective.keeps_codes_upstream
        self._shared = self.settings.upstream_aliasing and relaxed
        if self._shared and isinstance(self.objective, CodeMemory):
            self.objective.memory.copy_(sign(features))
        self.mainstay = self._mainstay_of(sign(features))

    def _mainstay_of(self, codes: Tensor) -> MainstayCodes:
        return MainstayCodes(codes, self.train_labels, self.settings.weighting, self._shared)

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Inner maximisation, then the loss of Eq. 20 with refreshed mainstay codes."""
        attacked = self.inner_maximisation(images, self.mainstay.of_rows(index))
        return self.outer_loss(images, attacked, labels, index)

    def outer_loss(self, images: Tensor, attacked: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of benign and attacked images (B, 3, H, W); refreshes the codes of the batch."""
        both = self.in_parts(self.network, torch.cat([images, attacked]))
        features, attacked_features = both.chunk(2)
        codes = sign(features.detach())
        shared = self.objective.codes(features.detach()) if self._shared else codes
        self.mainstay.update(index, shared if self.loop_relaxes_codes else codes)
        mainstay = self.mainstay.of_rows(index)
        if self._shared and not self.loop_relaxes_codes:
            self.mainstay.update(index, shared)
        adversarial = self.adversarial_loss(torch.tanh(attacked_features), mainstay)
        original: Tensor = self.objective(features, labels, index)
        return adversarial + original

    def adversarial_loss(self, relaxed: Tensor, mainstay: Tensor) -> Tensor:
        """−λ·mean(u'·b) of attacked relaxed codes (B, K) and mainstay codes (B, K)."""
        return self.settings.lambda_ * -(relaxed * mainstay).mean()

    def train_codes(self) -> Tensor | None:
        """Those behind the mainstay codes; none of an averaged network."""
        return None if self.average else codes_of(self.mainstay.codes)

    def buffers(self) -> dict[str, Tensor]:
        """The codes behind the mainstay codes."""
        return {"codes": self.mainstay.codes}

    def load_buffers(self, tensors: dict[str, Tensor]) -> None:
        """Restore the codes, and with them their group sums."""
        self.mainstay = self._mainstay_of(tensors["codes"].to(self._device))


class SaatTraining(GuidedTraining):
    """min_θ λ·L_adv + μ·L_qua + L_ori; see :class:`GuidedTraining`."""

    stage = "saat"
    settings: SaatSettings

    def adversarial_loss(self, relaxed: Tensor, mainstay: Tensor) -> Tensor:
        """λ·L_adv + μ·mean((u' − sign u')²) (Eq. 18, 19)."""
        quantisation = (relaxed - sign(relaxed.detach())).square().mean()
        return super().adversarial_loss(relaxed, mainstay) + self.settings.mu * quantisation
