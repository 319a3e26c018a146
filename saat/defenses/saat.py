"""SAAT: semantic-aware adversarial training as a minimax game around mainstay codes (Eq. 17-20)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from saat.attacks.attack import frozen
from saat.attacks.pgd import default_step_size, pgd
from saat.codes import sign
from saat.data import HashingData
from saat.hashing import HashingObjective
from saat.mainstay import MainstayCodes, MainstayWeights
from saat.models import HashingNetwork
from saat.settings import option
from saat.threat_model import ThreatModel
from saat.training import SgdSettings, Training


@dataclass(frozen=True)
class SaatSettings(SgdSettings):
    """The published settings.

    λ 1, μ 1e-4, inner PGD-7 at 8/255 with step 2/255; SGD 0.05 without momentum, weight decay
    1e-5, batch 32, 20 epochs, × 0.1 at 50 % and 75 %.

    μ weighs the *mean* over the K bits as in the reference implementation; Eq. 19 has the sum, so
    the paper's μ is this one divided by K.
    """

    epochs: int = option(20, ge=1, help="passes over the training set")
    lr: float = option(0.05, gt=0, help="learning rate of SGD")
    momentum: float = option(0.0, ge=0, le=1, help="momentum of SGD")
    weight_decay: float = option(1e-5, ge=0, help="weight decay of SGD")
    lambda_: float = option(1.0, ge=0, key="lambda", help="weight λ of the adversarial term")
    mu: float = option(1e-4, ge=0, help="weight μ of the quantisation term")
    eps: float = option(8 / 255, ge=0, le=1, help="radius ε of the inner ball, fraction of 1")
    steps: int = option(7, ge=1, help="inner PGD iterations T")
    step_size: float | Literal["auto"] = option(
        2 / 255, gt=0, le=1, help="inner step η, fraction of 1, or auto = max(ε/4, 2.5·ε/T)"
    )
    weights: MainstayWeights = option("saat", help="weighting of the mainstay codes")

    decay_at = (0.5, 0.75)
    # File keys of the fields that make up "the paper's default" in a search.
    published = ("lambda", "mu", "eps", "steps", "step_size")

    @property
    def inner_step(self) -> float:
        """η in numbers."""
        if self.step_size == "auto":
            return default_step_size(self.eps, self.steps)
        return self.step_size


class SaatTraining(Training):
    """min_θ λ·L_adv + μ·L_qua + L_ori over max_{‖x'−x‖≤ε} of the distance to the mainstay code.

    Starts from a pretrained network. The codes that the mainstay codes are computed from are kept
    apart from the relaxed codes of the hashing objective: the reference implementation shares
    their storage and so overwrites the one with the other.
    """

    stage = "saat"

    def __init__(
        self,
        network: HashingNetwork,
        objective: HashingObjective,
        data: HashingData,
        settings: SaatSettings,
        seed: int,
    ) -> None:
        super().__init__(network, objective, data, settings, seed)
        self.saat = settings
        self.threat = ThreatModel(settings.eps)
        features = self.train_features()
        objective.start_from(features)
        self.mainstay = MainstayCodes(sign(features), self._labels, settings.weights)

    def set_mode(self) -> None:
        """Dropout on; batch statistics frozen, or attacked batches would pollute them."""
        super().set_mode()
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Inner maximisation, then the loss of Eq. 20 with refreshed mainstay codes."""
        attacked = self.inner_maximisation(images, self.mainstay.of_rows(index))
        features, attacked_features = self.network(torch.cat([images, attacked])).chunk(2)
        self.mainstay.update(index, sign(features.detach()))
        mainstay = self.mainstay.of_rows(index)
        relaxed = torch.tanh(attacked_features)
        adversarial = -(relaxed * mainstay).mean()
        quantisation = (relaxed - sign(relaxed.detach())).square().mean()
        original: Tensor = self.objective(features, labels, index)
        return self.saat.lambda_ * adversarial + self.saat.mu * quantisation + original

    def inner_maximisation(self, images: Tensor, mainstay: Tensor) -> Tensor:
        """PGD from a uniform random start on (1/K) b_mᵀ tanh(f(x')), α = 1 (Eq. 13, 15)."""
        start = images + torch.empty_like(images).uniform_(-self.saat.eps, self.saat.eps)
        with frozen(self.network):
            return pgd(
                self.network,
                images,
                lambda features, _: (torch.tanh(features) * mainstay).mean(1),
                self.threat,
                self.saat.steps,
                self.saat.inner_step,
                start,
            ).images

    def buffers(self) -> dict[str, Tensor]:
        """The codes behind the mainstay codes."""
        return {"codes": self.mainstay.codes}

    def load_buffers(self, tensors: dict[str, Tensor]) -> None:
        """Restore the codes, and with them their group sums."""
        codes = tensors["codes"].to(self._device)
        self.mainstay = MainstayCodes(codes, self._labels, self.saat.weights)
