"""Attack a hashing network and measure what retrieval is left.

Works for any module that maps float images in [0, 1] to pre-tanh features (B, K). Codes of
attacked queries are computed from images rounded to bytes: what a victim would receive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from saat.attacks import ATTACKS, Attack, Knowledge, attack_queries
from saat.data import HashingData
from saat.models import codes_of, encode
from saat.retrieval import (
    DistanceHistograms,
    Ties,
    average_precision,
    chance_average_precision,
    distance_histograms,
)
from saat.seeding import derive_seed
from saat.threat_model import ThreatModel

Queries = Literal["validation", "test"]


@dataclass(frozen=True)
class Protocol:
    """How a model is measured; the same for every model that is compared.

    Attributes:
        attacks: name → untargeted attack, steps included.
        eps: radius of the L∞ ball, fraction of 1.
        top_k: depth of the ranking.
        ties: see :func:`saat.retrieval.average_precision`.
        batch_size: queries attacked together; never changes a result.
    """

    attacks: Mapping[str, Attack]
    eps: float = 8 / 255
    top_k: int = 5000
    ties: Ties = "expected"
    batch_size: int = 128

    @classmethod
    def named(
        cls, names: Sequence[str], steps: int, eps: float, top_k: int, ties: Ties
    ) -> "Protocol":
        """A protocol of registered attacks with their own step rules and ``steps`` iterations."""
        attacks = {name: ATTACKS[name](steps=steps) for name in names}
        return cls(attacks, eps=eps, top_k=top_k, ties=ties)


@dataclass(frozen=True)
class AttackResult:
    """One attack on all queries.

    Attributes:
        ap: float64 (Q,), AP of the attacked queries.
        theory_ap: float64 (Q,), AP of the code the attack aims for: its theoretical floor.
        images: uint8 (Q, 3, H, W), the attacked queries.
        codes: int8 ±1 (Q, K), their codes.
        zero_gradient: mean fraction of exactly zero input gradients on the way.
        linf: largest pixel change, fraction of 1.
    """

    ap: Tensor
    theory_ap: Tensor
    images: Tensor
    codes: Tensor
    zero_gradient: float
    linf: float


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found; every tensor on the CPU.

    Attributes:
        rows: int64 (Q,), rows of the data set that were the queries.
        clean_ap: float64 (Q,).
        chance_ap: float64 (Q,), AP of a random order.
        attacks: name → result.
        query_codes: int8 ±1 (Q, K), benign.
        database_rows: int64 (N,).
        database_codes: int8 ±1 (N, K).
    """

    rows: np.ndarray
    clean_ap: Tensor
    chance_ap: Tensor
    query_codes: Tensor
    database_rows: np.ndarray
    database_codes: Tensor
    attacks: Mapping[str, AttackResult] = field(default_factory=dict)

    @property
    def worst_ap(self) -> Tensor:
        """Per query the minimum over the clean image and all attacks: float64 (Q,)."""
        return torch.stack([self.clean_ap, *(a.ap for a in self.attacks.values())]).amin(0)

    def metrics(self) -> dict[str, float]:
        """Means over the queries, in [0, 1]; names as in ``docs/architecture.md``."""
        means = {
            "clean_map": self.clean_ap,
            "robust_map": self.worst_ap,
            "chance_map": self.chance_ap,
        }
        for name, result in self.attacks.items():
            means[f"map.{name}"] = result.ap
            means[f"theory.{name}"] = result.theory_ap
        out = {name: float(values.mean()) for name, values in means.items()}
        if self.attacks:
            out["floor_map"] = min(out[f"theory.{name}"] for name in self.attacks)
        for name, result in self.attacks.items():
            out[f"zero_grad.{name}"] = result.zero_gradient
            out[f"linf.{name}"] = result.linf
        return out

    def per_query(self) -> dict[str, Tensor]:
        """AP per query: ``clean``, every attack, ``worst``."""
        attacked = {name: result.ap for name, result in self.attacks.items()}
        return {"clean": self.clean_ap, **attacked, "worst": self.worst_ap}

    def histograms(self, data: HashingData) -> dict[str, DistanceHistograms]:
        """Distance histograms of the benign queries (``clean``) and of every attack."""
        labels = data.label_tensor(self.rows)
        database = (self.database_codes, data.label_tensor(self.database_rows))
        codes = {"clean": self.query_codes, **{n: a.codes for n, a in self.attacks.items()}}
        return {name: distance_histograms(c, labels, *database) for name, c in codes.items()}


def evaluate(
    model: nn.Module,
    data: HashingData,
    protocol: Protocol,
    queries: Queries = "test",
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Clean and robust retrieval of ``model`` under ``protocol``.

    Args:
        model: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).
        data: images and splits; validation queries leave the database while they are searched.
        protocol: attacks, ball, ranking.
        queries: which queries.
        seed: seed of the random starts, combined with every query's row.
        limit: only the first so many queries.
        progress: called with (attack name, queries done, queries in all).

    Raises:
        ValueError: ``top_k`` larger than the database.
    """
    rows = (data.validation if queries == "validation" else data.test)[:limit]
    database_rows = data.validation_database if queries == "validation" else data.database
    labels = data.label_tensor(rows)

    def features(which: np.ndarray) -> Tensor:
        return encode(model, lambda part: data.batch(which[part]), len(which))

    train_features = features(data.train)
    knowledge = Knowledge.of(train_features, data.label_tensor(data.train))
    database = (codes_of(features(database_rows)).cpu(), data.label_tensor(database_rows))
    query_codes = codes_of(features(rows)).cpu()

    def ap(codes: Tensor) -> Tensor:
        return average_precision(codes, labels, *database, top_k=protocol.top_k, ties=protocol.ties)

    # Before the attacks: a ranking deeper than the database is refused while it costs nothing.
    clean_ap = ap(query_codes)
    results = {}
    for name, attack in protocol.attacks.items():
        codes = attack.representatives(
            knowledge, labels.to(train_features.device), query_codes.to(train_features.device)
        )
        attacked = attack_queries(
            attack,
            model,
            data.batch(rows),
            codes,
            knowledge,
            ThreatModel(protocol.eps),
            [derive_seed("attack", name, seed, int(row)) for row in rows],
            protocol.batch_size,
            partial(progress, name) if progress else None,
        )
        attacked_codes = codes_of(
            encode(model, lambda part, a=attacked: a.images[part], len(rows))  # type: ignore[misc]
        ).cpu()
        change = attacked.images.to(torch.int16) - data.batch(rows).to(torch.int16)
        results[name] = AttackResult(
            ap=ap(attacked_codes),
            theory_ap=ap(codes_of(attack.goal(codes)).cpu()),
            images=attacked.images,
            codes=attacked_codes,
            zero_gradient=float(attacked.zero_gradient.mean()) if len(rows) else 0.0,
            linf=float(change.abs().max()) / 255 if len(rows) else 0.0,
        )
    return Evaluation(
        rows=rows,
        clean_ap=clean_ap,
        chance_ap=chance_average_precision(labels, database[1], protocol.top_k),
        query_codes=query_codes,
        database_rows=database_rows,
        database_codes=database[0],
        attacks=results,
    )
