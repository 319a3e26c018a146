"""How a set of queries is attacked: batch by batch, with restarts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Progress, Queries
from saat.memory import shrinking
from saat.models import codes_of, device_of, encode, evaluating, folded
from saat.retrieval import average_precision
from saat.seeding import derive_seed
from saat.threat_model import ThreatModel

# Kernels choose another order of summation for small batches; at multiples of this size they
# agree bit for bit, so the batch size never changes a result.
BATCH_GRAIN = 32


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
    """Attacked queries; tensors on the CPU."""

    images: Tensor  # uint8 (Q, 3, H, W), of every query's worst restart
    zero_gradient: Tensor  # (R, Q), fractions of exactly zero input gradients in each of R restarts
    restart: Tensor  # int64 (Q,), the restart that counts


def attack_queries(
    attack: Attack,
    network: nn.Module,
    queries: Queries,
    knowledge: Knowledge,
    threat: ThreatModel,
    batch_size: int = 128,
    progress: Progress | None = None,
    seeds: Callable[[int], Sequence[int]] | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
) -> AttackedQueries:
    """Attack a set of queries in evaluation mode; of all restarts the worst counts per query.

    The result does not depend on ``batch_size``: losses are sums over queries, random starts are
    seeded per query, and batches are padded to a multiple of :data:`BATCH_GRAIN`. Where memory
    runs out, fewer queries are attacked at once; below that multiple results are the same up to
    rounding.

    Args:
        attack: fitted.
        network: float images in [0, 1] → pre-tanh features (B, K).
        queries: the set.
        knowledge: what the attack was fitted with.
        threat: the ball.
        batch_size: queries per batch, rounded up to a multiple of :data:`BATCH_GRAIN`.
        progress: called with (queries done, queries in all), all restarts together.
        seeds: restart → one seed per query; derived from the seeds of ``queries`` where None.
        loss: uint8 images (Q, 3, H, W) → what the attack makes small, (Q,) on the CPU; asked
            where there is more than one restart. AP over the whole database of ``knowledge``
            where None, or minus t-AP if the attack is targeted.
    """
    seeds = seeds or partial(_restart_seeds, queries.seeds)
    loss = loss or partial(_retrieval_loss, attack, network, queries.labels, knowledge)
    size = max(batch_size, BATCH_GRAIN)  # batches are padded to the grain in any case
    images, chosen = queries.images, torch.zeros(len(queries.images), dtype=torch.int64)
    lowest, zeros = torch.empty(0), []
    for restart in range(attack.restarts):
        own = queries._replace(seeds=seeds(restart))
        tell = progress and partial(_tell, progress, restart, attack.restarts)
        run = partial(_attack_once, attack, network, own, knowledge, threat, tell)
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
    return AttackedQueries(images, torch.stack(zeros), chosen)


def _attack_once(
    attack: Attack,
    network: nn.Module,
    queries: Queries,
    knowledge: Knowledge,
    threat: ThreatModel,
    progress: Progress | None,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """One restart: uint8 images (Q, 3, H, W) and fractions of zero gradients (Q,)."""
    device, count = device_of(network), len(queries.images)
    if not count:
        return queries.images, torch.zeros(0)
    grain = min(batch_size, BATCH_GRAIN)
    attacked, zeros = [], []
    with evaluating(network), frozen(network):
        seen = folded(network)
        for rows in torch.arange(count).split(-(-batch_size // grain) * grain):
            padding = rows[-1:].expand(-len(rows) % grain)
            batch = queries.batch(torch.cat([rows, padding]), device)
            result = attack.perturb(seen, batch, knowledge, threat)
            kept = result.images[: len(rows)].cpu()
            attacked.append(threat.to_uint8(kept, queries.images[rows]))
            zeros.append(result.zero_gradient[: len(rows)].cpu())
            if progress:
                progress(int(rows[-1]) + 1, count)
    return torch.cat(attacked), torch.cat(zeros)


def _restart_seeds(first: Sequence[int], restart: int) -> Sequence[int]:
    return [derive_seed("restart", seed, restart) for seed in first] if restart else first


def _retrieval_loss(
    attack: Attack, network: nn.Module, labels: Tensor, knowledge: Knowledge, images: Tensor
) -> Tensor:
    codes = codes_of(encode(network, images.__getitem__, len(images)))
    database = knowledge.database_codes, knowledge.database_labels
    ap = average_precision(codes, labels.to(codes.device), *database)
    return (-ap if attack.targeted else ap).cpu()


def _tell(progress: Progress, restart: int, restarts: int, done: int, count: int) -> None:
    """Progress of one restart as progress of all."""
    progress(restart * count + done, restarts * count)
