"""What every attack offers, and what it knows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from saat.models import codes_of, to_float
from saat.protocol_options import LARGEST_EPS
from saat.settings import option
from saat.threat_model import ThreatModel

# Forward passes that the gradient of one image takes, the pass before it included: the backward
# pass through frozen weights costs about as much as the forward pass.
GRADIENT_PASSES = 2


def gradient_passes(images: int) -> int:
    """Forward passes that the input gradients of so many images take."""
    return GRADIENT_PASSES * images


Learned = TypeVar("Learned")
# Called with (done, in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Knowledge:
    """What a white-box attacker knows besides the network itself.

    Attributes:
        train_codes: int8 ±1 (N, K), codes of the training set under the attacked network.
        train_labels: 0/1 (N, C).
        feature_scale: float (K,), median |f| of every bit's pre-tanh feature over the training
            set, > 0. Dividing by it undoes a rescaled last layer, which would otherwise hide the
            gradient of tanh without changing a single code.
        database_codes: int8 ±1 (M, K), codes of the database that queries retrieve from.
        database_labels: 0/1 (M, C).
    """

    train_codes: Tensor
    train_labels: Tensor
    feature_scale: Tensor
    database_codes: Tensor
    database_labels: Tensor

    @classmethod
    def of(
        cls,
        train_features: Tensor,
        train_labels: Tensor,
        database: tuple[Tensor, Tensor] | None = None,
        train_codes: Tensor | None = None,
    ) -> "Knowledge":
        """From pre-tanh features (N, K) and labels (N, C) of the training set.

        ``database`` holds codes and labels; those of the training set where None. Where
        ``train_codes`` (N, K) are known, the features only give the scale: any images will do.
        """
        device = train_features.device
        codes = codes_of(train_features) if train_codes is None else train_codes.to(device)
        labels, scale = train_labels.to(device), train_features.abs().median(dim=0).values
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        database_codes, database_labels = database or (codes, labels)
        return cls(codes, labels, scale, database_codes.to(device), database_labels.to(device))


class Queries(NamedTuple):
    """Queries under attack: a whole set, or a batch of it.

    Attributes:
        images: (Q, 3, H, W); uint8 on the CPU for a set, float in [0, 1] on the network's device
            for a batch.
        labels: 0/1 (Q, C); the queries' own labels, or the target labels if targeted.
        codes: ±1 (Q, K), codes of the benign queries.
        representatives: ±1 (Q, K), from :meth:`Attack.representatives`.
        seeds: one seed per query.
        own_labels: 0/1 (Q, C), the queries' own labels, for a targeted attack; not known where
            None.
    """

    images: Tensor
    labels: Tensor
    codes: Tensor
    representatives: Tensor
    seeds: Sequence[int]
    own_labels: Tensor | None = None

    def batch(self, rows: Tensor, device: torch.device) -> "Queries":
        """Rows of a set as a batch on ``device``."""

        def pick(values: Tensor) -> Tensor:
            return values[rows.to(values.device)].to(device).float()

        return Queries(
            to_float(self.images[rows], device),
            pick(self.labels),
            pick(self.codes),
            pick(self.representatives),
            [self.seeds[row] for row in rows.tolist()],
            None if self.own_labels is None else pick(self.own_labels),
        )


class TrainingImages(NamedTuple):
    """The training set, for attacks that have to learn something first.

    Attributes:
        labels: 0/1 (N, C) on the CPU.
        images: int64 positions (n,) within the training set → uint8 (n, 3, H, W) on the CPU.
        targets: 0/1 (Q, C), the target labels that a targeted attack will be asked for; any of
            the database's where None.
    """

    labels: Tensor
    images: Callable[[Tensor], Tensor]
    targets: Tensor | None = None


class Perturbed(NamedTuple):
    """A perturbed batch.

    Attributes:
        images: adversarial float images (B, 3, H, W) in [0, 1].
        zero_gradient: (B,) fraction of exactly zero input gradients on the way; near 1 the attack
            was blind.
    """

    images: Tensor
    zero_gradient: Tensor


@dataclass(frozen=True)
class Attack(ABC):
    """An attack under a threat model; its options are the fields with a help.

    Attributes:
        targeted: whether it drives codes towards its representatives, not away from them.
        by_gradient: whether it needs the network's input gradients; without them it is skipped,
            and reported so.
        version: raised with every change of the formula, so that kept images of an earlier
            formula are not taken for those of this one.
    """

    steps: int = option(100, ge=1, le=100_000, help="iterations T")
    step_size: float | None = option(
        None, ge=1e-9, le=LARGEST_EPS, help="step η; null is the attack's own rule"
    )
    restarts: int = option(
        1, ge=1, le=1000, help="runs from different seeds; the worst counts per query"
    )

    targeted = False
    by_gradient = True
    version: ClassVar[int] = 1

    def fit(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        threat: ThreatModel,
        seed: int,
        progress: Progress | None = None,
    ) -> "Attack":
        """The attack that has learned what it needs of a victim; most need nothing.

        ``network`` is in evaluation mode and frozen. ``seed`` decides all draws. ``progress`` is
        called with (steps done, steps in all).
        """
        return self

    @abstractmethod
    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The codes that the attack is aimed by: float ±1 (Q, K).

        An untargeted attack drives the query's code away from them, a targeted one towards them.

        ``labels`` (Q, C) are the queries' own, or the target labels if targeted; ``query_codes``
        are the ±1 codes (Q, K) of the benign queries.
        """

    @abstractmethod
    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """Attack a batch; ``network`` maps float images to pre-tanh features (B, K)."""

    def forward_passes(self, threat: ThreatModel) -> float:
        """Forward passes of one image that an attack on one query costs, all restarts together.

        An input gradient counts as :data:`GRADIENT_PASSES`. Left out is what :meth:`fit` costs,
        once for all queries.
        """
        compared = self.restarts if self.restarts > 1 else 0
        return self.restarts * self.restart_passes(threat) + compared

    def restart_passes(self, threat: ThreatModel) -> float:
        """:meth:`forward_passes` of one restart; overridden by what is not one gradient a step."""
        return gradient_passes(self.steps) if self.by_gradient else self.steps

    def goal(self, representatives: Tensor) -> Tensor:
        """The best code the attack could reach: its theoretical result, ±1 (Q, K)."""
        return representatives if self.targeted else -representatives

    def _fitted(self, learned: Learned | None) -> Learned:
        """What :meth:`fit` has set."""
        if learned is None:
            raise RuntimeError(f"{type(self).__name__.lower()}: fit comes before the attack")
        return learned
