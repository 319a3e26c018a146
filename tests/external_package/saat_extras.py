"""A package of somebody else: one entry for every registry of saat."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from saat.attacks import Attack, Knowledge, MainstayAttack, Queries, Square
from saat.attacks.interface import Perturbed
from saat.attacks.pgd import pgd
from saat.battery import Battery
from saat.data import Dataset, RetrievalData
from saat.data.labelled_images import fingerprint
from saat.data.splits import draw_validation
from saat.data.store import Progress
from saat.defenses import DefenseEntry, SaatSettings, SaatTraining
from saat.hashing import HashingObjective
from saat.models.registry import BackboneEntry
from saat.reliability import Gate, GateBudget, GateContext, GateResult
from saat.settings import option
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class OneStep(MainstayAttack):
    """One step of the whole radius."""

    alpha: float = option(1.0, ge=1e-3, le=100, help="α of tanh(α f)")

    version: ClassVar[int] = 3

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        del knowledge

        def loss(features: Tensor, _: int) -> Tensor:
            return (torch.tanh(self.alpha * features) * queries.representatives).mean(1)

        return pgd(network, queries.images, loss, threat, 1, threat.eps)


class Contrast(HashingObjective):
    """Squared error of the pairs of a batch."""

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        relaxed = self.codes(features)
        similar = 2 * (labels @ labels.T > 0.5).float() - 1
        loss: Tensor = (relaxed @ relaxed.T / relaxed.shape[1] - similar).square().mean()
        return loss


def load_channels(
    *,
    image_size: int,
    val_queries: int,
    seed: int,
    resize: str,
    cache_dir: Path,
    progress: Progress | None,
) -> RetrievalData:
    """300 images whose lit colour channels are their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (300, 3), dtype=np.uint8)
    noise = rng.integers(0, 60, (300, 3, image_size, image_size))
    images = (90 + 60 * labels[:, :, None, None] + noise).astype(np.uint8)
    images.setflags(write=False)
    rows = np.arange(300)
    train, validation = draw_validation(rows[:100], rows[:250], val_queries, seed, "channels")
    recipe = {"channels": 1, "image_size": image_size, "seed": seed, "val_queries": val_queries}
    return RetrievalData(
        name="channels",
        images=images,
        labels=labels,
        train=train,
        database=rows[:250],
        validation=validation,
        test=rows[250:],
        fingerprint=fingerprint(recipe, {"images": images, "labels": labels}),
        lists_sha256={},
    )


class Flat(nn.Sequential):
    """Means of patches."""

    features_out = 48

    def __init__(self, from_scratch: bool) -> None:
        del from_scratch
        super().__init__(nn.AdaptiveAvgPool2d(4), nn.Flatten())


def counted(context: GateContext) -> GateResult:
    """There are queries."""
    return GateResult("counted", len(context.victim.rows) > 0, "there are queries")


ATTACKS: dict[str, Attack] = {"one_step": OneStep(steps=1)}
CHANNELS = Dataset(load_channels, "lit colour channels", 3, "embedded")
FLAT = BackboneEntry(Flat, 8, None, "means of patches")
BLURRED = DefenseEntry(SaatSettings, SaatTraining, "minimax training under another name")
COUNTED = Gate(counted)
BRIEF = Battery(
    ATTACKS, Square(steps=2), 4, GateBudget(4, (1.0,), 1, (1,), 1), "one_step", ("counted",)
)
