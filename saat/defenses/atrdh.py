"""ATRDH: adversarial training of the first targeted attack on hashing (Wang et al., SIGIR 2021)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saat.codes import sign
from saat.defenses.minimax import MinimaxSettings, MinimaxTraining
from saat.labels import LabelGroups, unchecked_relevance
from saat.models import codes_of
from saat.optimiser_settings import AdamSettings
from saat.prototype import PrototypeNet, circle_loss, quantisation_loss
from saat.seeding import drawing_from
from saat.settings import option


@dataclass(frozen=True)
class AtrdhSettings(AdamSettings, MinimaxSettings):
    """The settings of the reference implementation (xandery-geek/SAAT, defense_model/atrdh.py)."""

    epochs: int = option(100, ge=1, le=100_000, help="passes over the training set")
    adversarial: float = option(2.0, ge=0, le=1e6, help="weight of the adversarial term")
    original: float = option(1.0, ge=0, le=1e6, help="weight of the hashing objective")

    published = ("adversarial", "original", "eps", "steps", "step_size")


class AtrdhTraining(MinimaxTraining):
    """Training images attacked towards the prototype code of a random label keep their neighbours.

        L = original·L_ori + adversarial·Σ (u' Uᵀ/K − S)²/(N·B) + L_prototype

    u' relaxed codes of the attacked batch, U those of all N benign training images, S = ±1 whether
    two images share a label. The prototype network is trained along; its loss and the others have
    no parameters in common, so one step for the sum is one step for each.

    Targets are the distinct label vectors of the *training* set that have a label (in the reference
    of the database, whose labels no defender needs). U starts at the pretrained network's relaxed
    codes. L_prototype is :func:`saat.prototype.circle_loss` and quantisation.
    """

    stage = "atrdh"
    settings: AtrdhSettings

    def prepare(self) -> None:
        """Prototype network, relaxed codes of the benign training images, and targets."""
        features = self.train_features()
        self.objective.start_from(features)
        self.memory = torch.tanh(features)
        with drawing_from("prototype network", self.stage, self.seed):
            net = PrototypeNet(self.train_labels.shape[1], features.shape[1])
        self.prototypes = net.to(self._device)
        vectors = LabelGroups.of(self.train_labels).vectors.float()
        self.targets = vectors[vectors.sum(1) > 0]

    def modules(self) -> dict[str, nn.Module]:
        """The prototype network too."""
        return {**super().modules(), "prototypes": self.prototypes}

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Attack towards the prototype codes of random labels, then the sum of the three terms."""
        features = self.in_parts(self.network, images)
        self.memory[index] = torch.tanh(features.detach())
        original: Tensor = self.settings.original * self.objective(features, labels, index)
        if not len(self.targets):  # no training image has a label: nothing to be attacked towards
            return original
        drawn = torch.randint(len(self.targets), (len(images),)).to(self._device)
        prototypes = self.prototypes(self.targets[drawn])
        attacked = self.inner_maximisation(images, -sign(prototypes.detach()))
        relaxed = torch.tanh(self.in_parts(self.network, attacked))
        similar = 2 * unchecked_relevance(labels, self.train_labels).to(relaxed.dtype) - 1
        error = (relaxed @ self.memory.T / relaxed.shape[1] - similar).square().mean()
        circle = circle_loss(prototypes, self.targets[drawn], sign(self.memory), self.train_labels)
        prototype = circle + quantisation_loss(prototypes)
        loss: Tensor = original + self.settings.adversarial * error + prototype
        return loss

    def train_codes(self) -> Tensor | None:
        """Signs of the relaxed codes; none of an averaged network."""
        return None if self.average else codes_of(self.memory)

    def buffers(self) -> dict[str, Tensor]:
        """Relaxed codes of the benign training images."""
        return {"memory": self.memory}
