"""What every attack offers, what it knows, and how a set of queries is walked through."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saat.models import device_of, evaluating, to_float
from saat.threat_model import ThreatModel

# Kernels choose another order of summation for small batches; at multiples of this size they
# agree bit for bit, so the batch size never changes a result.
BATCH_GRAIN = 32


@dataclass(frozen=True)
class Knowledge:
    """What a white-box attacker knows besides the network itself.

    Attributes:
        train_codes: int8 ±1 (N, K), codes of the training set under the attacked network.
        train_labels: 0/1 (N, C).
        feature_scale: float (K,), median |f| of every bit's pre-tanh feature over the training
            set, > 0. Dividing by it undoes a rescaled last layer, which would otherwise hide the
            gradient of tanh without changing a single code.
    """

    train_codes: Tensor
    train_labels: Tensor
    feature_scale: Tensor

    @classmethod
    def of(cls, train_features: Tensor, train_labels: Tensor) -> "Knowledge":
        """From pre-tanh features (N, K) and labels (N, C) of the training set."""
        codes = torch.where(train_features >= 0, 1, -1).to(torch.int8)
        scale = train_features.abs().median(dim=0).values
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return cls(codes, train_labels.to(train_features.device), scale)


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
    """An attack under a threat model.

    Attributes:
        steps: iterations T.
        step_size: step η, fraction of the pixel range; ``None`` takes the attack's own rule.
    """

    steps: int = 100
    step_size: float | None = None

    targeted = False

    @abstractmethod
    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The codes that guide the attack: float ±1 (Q, K).

        An untargeted attack drives the query's code away from them, a targeted one towards them.

        Args:
            knowledge: training codes and labels.
            labels: 0/1 (Q, C); the queries' own labels, or the target labels if targeted.
            query_codes: ±1 (Q, K), codes of the benign queries.
        """

    @abstractmethod
    def perturb(
        self,
        network: nn.Module,
        images: Tensor,
        representatives: Tensor,
        knowledge: Knowledge,
        threat: ThreatModel,
        seeds: Sequence[int],
    ) -> Perturbed:
        """Attack a batch of float images (B, 3, H, W); ``seeds`` gives one seed per query."""

    def goal(self, representatives: Tensor) -> Tensor:
        """The best code the attack could reach: its theoretical result, ±1 (Q, K)."""
        return representatives if self.targeted else -representatives


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Switch off parameter gradients: an attack needs the gradient of its input alone."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class AttackedQueries(NamedTuple):
    """Attacked queries as bytes (Q, 3, H, W) on the CPU, and zero-gradient fractions (Q,)."""

    images: Tensor
    zero_gradient: Tensor


def attack_queries(
    attack: Attack,
    network: nn.Module,
    images: Tensor,
    representatives: Tensor,
    knowledge: Knowledge,
    threat: ThreatModel,
    seeds: Sequence[int],
    batch_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> AttackedQueries:
    """Attack a set of queries batch by batch, in evaluation mode.

    The result does not depend on ``batch_size``: losses are sums over queries, random starts are
    seeded per query, and batches are padded to a multiple of :data:`BATCH_GRAIN`.

    Args:
        attack: the attack.
        network: float images in [0, 1] → pre-tanh features (B, K).
        images: uint8 (Q, 3, H, W).
        representatives: ±1 (Q, K), from :meth:`Attack.representatives`.
        knowledge: see :class:`Knowledge`.
        threat: the ball.
        seeds: one seed per query.
        batch_size: queries per batch, rounded up to a multiple of :data:`BATCH_GRAIN`.
        progress: called with (queries done, queries in all).
    """
    device = device_of(network)
    count = len(images)
    width = -(-max(1, batch_size) // BATCH_GRAIN) * BATCH_GRAIN
    attacked, zeros = [], []
    with evaluating(network), frozen(network):
        for start in range(0, count, width):
            rows = torch.arange(start, min(start + width, count))
            padded = _pad(rows)
            result = attack.perturb(
                network,
                to_float(images[padded], device),
                representatives[padded.to(representatives.device)].to(device).float(),
                knowledge,
                threat,
                [seeds[row] for row in padded.tolist()],
            )
            kept = result.images[: len(rows)].cpu()
            attacked.append(threat.to_uint8(kept, images[rows]))
            zeros.append(result.zero_gradient[: len(rows)].cpu())
            if progress:
                progress(int(rows[-1]) + 1, count)
    if not attacked:
        return AttackedQueries(images.clone(), torch.zeros(0))
    return AttackedQueries(torch.cat(attacked), torch.cat(zeros))


def _pad(rows: Tensor) -> Tensor:
    """Repeat the last row up to the next multiple of :data:`BATCH_GRAIN`."""
    missing = -len(rows) % BATCH_GRAIN
    return torch.cat([rows, rows[-1:].expand(missing)])
