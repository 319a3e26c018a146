"""The prototype network of THA, ProS-GAN and ATRDH: from a label vector to its code."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from saat.codes import sign
from saat.errors import InputError
from saat.labels import LabelGroups, unchecked_relevance
from saat.optimisers import Adam
from saat.seeding import generator

LEARNING_RATE = 1e-4
BETAS = (0.5, 0.999)
# Steps between two reports of progress; a step takes milliseconds, a report a line.
REPORT_EVERY = 100


class PrototypeNet(nn.Module):
    """Labels (B, C) → relaxed codes (B, K): C → 4096 (ReLU) → 512 → K (tanh).

    Wang et al., "Targeted attack and defense for deep hashing", SIGIR 2021, and "Prototype-
    supervised adversarial network for targeted attack of deep hashing", CVPR 2021. Neither has a
    nonlinearity after the 512 features.
    """

    features_out = 512

    def __init__(self, classes: int, bits: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(classes, 4096), nn.ReLU(inplace=True), nn.Linear(4096, self.features_out)
        )
        self.hashing = nn.Linear(self.features_out, bits)

    def forward(self, labels: Tensor) -> Tensor:
        """Float 0/1 labels (B, C) → codes (B, K) in (−1, 1)."""
        return torch.tanh(self.hashing(self.features(labels)))

    def loss(self, labels: Tensor, codes: Tensor, code_labels: Tensor) -> Tensor:
        """:func:`circle_loss` + :func:`quantisation_loss` of the labels' codes: scalar."""
        found = self(labels)
        return circle_loss(found, labels, codes, code_labels) + quantisation_loss(found)


def circle_loss(prototypes: Tensor, labels: Tensor, codes: Tensor, code_labels: Tensor) -> Tensor:
    """Circle loss of prototypes against codes (Sun et al., CVPR 2020, m = 0, γ = 1; THA).

    Over all pairs (i, j) of a prototype h_i and a code c_j, s_ij = h_i·c_j/K, positive where the
    two share a label and negative elsewhere:

        L = softplus(log Σ_neg exp(a_n s) + log Σ_pos exp(−a_p s)) / B,
        a_n = max(s + 2, 0), a_p = max(2 − s, 0), both without gradient.

    A sum without a pair is left out: the other alone pulls or pushes. Every pair counts; the
    reference implementation takes those with j > i only. The scalar is finite for any labels.

    Args:
        prototypes: relaxed codes h (B, K), with gradient.
        labels: float 0/1 (B, C).
        codes: float ±1 codes c (N, K).
        code_labels: float 0/1 (N, C).
    """
    similarity = prototypes @ codes.T / prototypes.shape[1]
    fixed = similarity.detach()
    positive = unchecked_relevance(labels, code_labels)
    pushed = _log_sum_exp((fixed + 2).clamp_min(0) * similarity, ~positive)
    pulled = _log_sum_exp(-(2 - fixed).clamp_min(0) * similarity, positive)
    return softplus(pushed + pulled) / len(prototypes)


def _log_sum_exp(values: Tensor, members: Tensor) -> Tensor:
    """Logarithm of Σ exp over the ``members``; 0 where there are none."""
    if not members.any():
        return values.new_zeros(())
    return values.masked_fill(~members, -torch.inf).flatten().logsumexp(0)


def quantisation_loss(prototypes: Tensor) -> Tensor:
    """‖sign h − h‖² / (10⁴·B) of relaxed codes h (B, K): scalar."""
    error = (sign(prototypes.detach()) - prototypes).square().sum()
    return error / (1e4 * len(prototypes))


def target_vectors(labels: Tensor) -> Tensor:
    """The distinct label vectors of 0/1 ``labels`` (M, C) that can be a target: float (G, C).

    There is one at least, or an ``InputError``.
    """
    vectors = LabelGroups.of(labels).vectors.float()
    vectors = vectors[vectors.sum(1) > 0]
    if not len(vectors):
        raise InputError("data: no row of the database has a label, so targeted attacks have none")
    return vectors


def train_prototypes(
    net: PrototypeNet,
    vectors: Tensor,
    loss: Callable[[Tensor], Tensor],
    steps: int,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train ``net`` in place and freeze it: Adam 1e-4 (.5, .999), × 0.1 at ½ and ¾ of the steps.

    Every step draws ``batch_size`` of the label ``vectors`` (G, C), with replacement, and descends
    ``loss`` of them. ``progress`` is called with the steps done and in all, every
    :data:`REPORT_EVERY` and at the end.
    """
    optimiser = Adam(net.parameters(), lr=LEARNING_RATE, betas=BETAS)
    milestones = [steps // 2, 3 * steps // 4]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones, gamma=0.1)
    draws = generator("prototypes", seed)
    for step in range(steps):
        chosen = torch.randint(len(vectors), (batch_size,), generator=draws)
        value = loss(vectors[chosen.to(vectors.device)])
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        schedule.step()
        if progress and ((step + 1) % REPORT_EVERY == 0 or step + 1 == steps):
            progress(step + 1, steps)
    net.eval().requires_grad_(False)


@torch.no_grad()
def prototype_codes(net: PrototypeNet, labels: Tensor) -> Tensor:
    """Codes sign(h) of 0/1 labels (Q, C): float32 ±1 (Q, K).

    In float64, where rounding turns no bit, however many labels are asked at once.
    """
    exact = copy.deepcopy(net).double()
    device = next(exact.parameters()).device
    return sign(exact(labels.to(device).double())).float()
