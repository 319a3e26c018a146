"""CRDAT: adversarial training by distillation from a clean teacher (Zhu et al., SIGIR 2025).

"Clean Model Representation Distillation based Adversarial Training". Only the abstract could be
read; ``docs/defenses.md`` says what of it is our reading: both distances, the attack, every weight,
and the optimiser.
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from saat.attacks.interface import gradient_passes
from saat.codes import sign
from saat.compute import uncompiled
from saat.defenses.minimax import MinimaxTraining, SaatSchedule
from saat.models import HashingNetwork
from saat.settings import option
from saat.work import TRAINING_STEP, Work


@dataclass(frozen=True)
class CrdatSettings(SaatSchedule):
    """Our defaults, since the published ones could not be verified: SAAT's, and equal weights."""

    code: float = option(1.0, ge=0, le=1e6, help="weight of the distillation of hash codes")
    feature: float = option(1.0, ge=0, le=1e6, help="weight of the distillation of features")

    published = ("code", "feature", "eps", "steps", "step_size")
    start_work = Work()  # the objective, which would start from codes, is not used

    @property
    def epoch_work(self) -> Work:
        """The teacher's pass, T inner input gradients, and a step on the attacked image alone."""
        return Work(encoding=1, inner=gradient_passes(self.steps), training=TRAINING_STEP)


class CrdatTraining(MinimaxTraining):
    """Min over the student of code·L_code + feature·L_feature on adversarial images.

        L_code = −mean(tanh(f(x'))·b),  b = sign(f_T(x))
        L_feature = mean(1 − cos(φ(x'), φ_T(x)))

    f pre-tanh features, φ the backbone's output, T the teacher: the frozen pretrained network, from
    which the student starts. Labels and the hashing objective are not used.
    """

    stage = "crdat"
    settings: CrdatSettings

    def prepare(self) -> None:
        """The teacher."""
        self.teacher = deepcopy(self.network).eval().requires_grad_(False)

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Inner maximisation away from the teacher's codes, then the two distances to it."""
        with torch.no_grad():
            clean, features = self.in_parts(partial(represent, self.teacher), images)
        codes = sign(features)
        attacked = self.inner_maximisation(images, codes)
        representation, features = self.in_parts(partial(represent, self.network), attacked)
        code = -(torch.tanh(features) * codes).mean()
        feature = (1 - cosine_similarity(representation, clean, dim=1)).mean()
        return self.settings.code * code + self.settings.feature * feature

    def buffers(self) -> dict[str, Tensor]:
        """The teacher: a restored run need not start from the same network."""
        return self.teacher.state_dict()


def represent(network: HashingNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    """The backbone's output (B, F) and the pre-tanh features (B, K) of float images."""
    outputs: list[Tensor] = []
    hook = network.backbone.register_forward_hook(lambda *call: outputs.append(call[2]))
    with hook, uncompiled(network):
        features = network(images)
    return outputs[0], features
