"""What every attack offers and knows, and how a set of queries is attacked batch by batch."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from saat.memory import shrinking
from saat.models import codes_of, device_of, encode, evaluating, to_float
from saat.protocol_options import LARGEST_EPS
from saat.retrieval import average_precision
from saat.seeding import derive_seed
from saat.settings import option
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
    ) -> "Knowledge":
        """From the training set's pre-tanh features (N, K) and labels (N, C).

        Args:
            train_features: pre-tanh features (N, K).
            train_labels: 0/1 (N, C).
            database: ±1 codes and labels of the database; the training set where None.
        """
        device = train_features.device
        codes = torch.where(train_features >= 0, 1, -1).to(torch.int8)
        labels = train_labels.to(device)
        scale = train_features.abs().median(dim=0).values
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
    """

    images: Tensor
    labels: Tensor
    codes: Tensor
    representatives: Tensor
    seeds: Sequence[int]

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
        )


class TrainingImages(NamedTuple):
    """The training set, for attacks that have to learn something first.

    Attributes:
        labels: 0/1 (N, C) on the CPU.
        images: int64 positions (n,) within the training set → uint8 (n, 3, H, W) on the CPU.
    """

    labels: Tensor
    images: Callable[[Tensor], Tensor]


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
        step_size: step η; ``None`` takes the attack's own rule.
        restarts: runs from different seeds, of which the worst for the victim counts per query.
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
    # Whether it needs the network's input gradients; without them it is skipped and reported so.
    by_gradient = True
    version: ClassVar[int] = 1

    def fit(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        threat: ThreatModel,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> "Attack":
        """Learn what the attack needs before any query is seen; most need nothing.

        Args:
            network: the victim, in evaluation mode and frozen.
            train: the victim's training set.
            knowledge: see :class:`Knowledge`.
            threat: the ball.
            seed: of whatever is drawn.
            progress: called with (steps done, steps in all).

        Returns:
            The attack that is ready to run.
        """
        del network, train, knowledge, threat, seed, progress
        return self

    @abstractmethod
    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The codes that the attack is aimed by: float ±1 (Q, K).

        An untargeted attack drives the query's code away from them, a targeted one towards them.

        Args:
            knowledge: codes and labels.
            labels: 0/1 (Q, C); the queries' own labels, or the target labels if targeted.
            query_codes: ±1 (Q, K), codes of the benign queries.
        """

    @abstractmethod
    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """Attack a batch; ``network`` maps float images to pre-tanh features (B, K)."""

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
    """Attacked queries; tensors on the CPU.

    Attributes:
        images: uint8 (Q, 3, H, W), of every query's worst restart.
        zero_gradient: (R, Q), fractions of exactly zero input gradients in each of R restarts.
        restart: int64 (Q,), the restart that counts.
        batch_size: queries at once that fitted into memory.
    """

    images: Tensor
    zero_gradient: Tensor
    restart: Tensor
    batch_size: int


def attack_queries(
    attack: Attack,
    network: nn.Module,
    queries: Queries,
    knowledge: Knowledge,
    threat: ThreatModel,
    batch_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
    seeds: Callable[[int], Sequence[int]] | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    largest_batch: int = sys.maxsize,
) -> AttackedQueries:
    """Attack a set of queries in evaluation mode; of all restarts the worst counts per query.

    The result does not depend on ``batch_size``: losses are sums over queries, random starts are
    seeded per query, and batches are padded to a multiple of :data:`BATCH_GRAIN`. Where memory
    runs out, fewer queries are attacked at once; below that multiple results are the same up to
    rounding.

    Args:
        attack: the attack, fitted.
        network: float images in [0, 1] → pre-tanh features (B, K).
        queries: the set.
        knowledge: see :class:`Knowledge`.
        threat: the ball.
        batch_size: queries per batch, rounded up to a multiple of :data:`BATCH_GRAIN`.
        progress: called with (queries done, queries in all), all restarts together.
        seeds: restart → one seed per query; derived from the seeds of ``queries`` where None.
        loss: uint8 images (Q, 3, H, W) → what the attack makes small, (Q,) on the CPU; asked
            where there is more than one restart. AP over the whole database of ``knowledge``
            where None, or minus t-AP if the attack is targeted.
        largest_batch: queries at once, where more are known not to fit into memory.
    """
    seeds = seeds or _restart_seeds(queries.seeds)
    loss = loss or _retrieval_loss(attack, network, queries, knowledge)
    # Batches are padded to the grain in any case.
    size = min(max(batch_size, BATCH_GRAIN), largest_batch)
    images, chosen = queries.images, torch.zeros(len(queries.images), dtype=torch.int64)
    lowest, zeros = torch.empty(0), []
    for restart in range(attack.restarts):
        own = queries._replace(seeds=seeds(restart))
        told = _all_restarts(progress, restart, attack.restarts)
        run = partial(_attack_once, attack, network, own, knowledge, threat, told)
        (found, zero), size = shrinking(run, size)
        zeros.append(zero)
        left = loss(found) if attack.restarts > 1 else lowest
        if restart == 0:
            images, lowest = found, left
            continue
        better = left < lowest
        images = torch.where(better[:, None, None, None], found, images)
        lowest = torch.where(better, left, lowest)
        chosen[better] = restart
    return AttackedQueries(images, torch.stack(zeros), chosen, size)


def _attack_once(
    attack: Attack,
    network: nn.Module,
    queries: Queries,
    knowledge: Knowledge,
    threat: ThreatModel,
    progress: Callable[[int, int], None] | None,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """One restart: uint8 images (Q, 3, H, W) and fractions of zero gradients (Q,)."""
    device, count = device_of(network), len(queries.images)
    grain = min(batch_size, BATCH_GRAIN)
    width = -(-batch_size // grain) * grain
    attacked, zeros = [], []
    with evaluating(network), frozen(network):
        for start in range(0, count, width):
            rows = torch.arange(start, min(start + width, count))
            batch = queries.batch(_pad(rows, grain), device)
            result = attack.perturb(network, batch, knowledge, threat)
            kept = result.images[: len(rows)].cpu()
            attacked.append(threat.to_uint8(kept, queries.images[rows]))
            zeros.append(result.zero_gradient[: len(rows)].cpu())
            if progress:
                progress(int(rows[-1]) + 1, count)
    if not count:
        return queries.images, torch.zeros(0)
    return torch.cat(attacked), torch.cat(zeros)


def _restart_seeds(first: Sequence[int]) -> Callable[[int], Sequence[int]]:
    def seeds(restart: int) -> Sequence[int]:
        return [derive_seed("restart", seed, restart) for seed in first] if restart else first

    return seeds


def _retrieval_loss(
    attack: Attack, network: nn.Module, queries: Queries, knowledge: Knowledge
) -> Callable[[Tensor], Tensor]:
    def loss(images: Tensor) -> Tensor:
        codes = codes_of(encode(network, lambda part: images[part], len(images)))
        labels = queries.labels.to(codes.device)
        ap = average_precision(codes, labels, knowledge.database_codes, knowledge.database_labels)
        return (-ap if attack.targeted else ap).cpu()

    return loss


def _all_restarts(
    progress: Callable[[int, int], None] | None, restart: int, restarts: int
) -> Callable[[int, int], None] | None:
    """Progress of one restart as progress of all."""
    if progress is None:
        return None
    return lambda done, count: progress(restart * count + done, restarts * count)


def _pad(rows: Tensor, grain: int) -> Tensor:
    """Repeat the last row up to the next multiple of ``grain``."""
    missing = -len(rows) % grain
    return torch.cat([rows, rows[-1:].expand(missing)])
