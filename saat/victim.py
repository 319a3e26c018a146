"""A network as a target: its codes, its queries, and how well they retrieve."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor, nn

from saat.attacks import Attack, Knowledge, Queries, TrainingImages, attack_queries, frozen
from saat.attacks.query_batches import BATCH_GRAIN, AttackedQueries
from saat.data import RetrievalData
from saat.errors import InputError
from saat.labels import draw_target_labels
from saat.models import check_network, codes_of, encode, evaluating
from saat.perceptibility import perceptibility
from saat.protocol_options import Ties
from saat.retrieval import average_precision, chance_average_precision, resolved_top_k
from saat.seeding import derive_seed, generator
from saat.threat_model import ThreatModel
from saat.wording import counted

QueryKind = Literal["validation", "test"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Target:
    """What a targeted attack was asked for, and how near it came.

    Attributes:
        labels: uint8 0/1 (Q, C), the target labels; a zero row where no disjoint label exists.
        ap: float64 (Q,), t-AP: AP of the attacked queries with the target labels as theirs.
        theory_ap: float64 (Q,), t-AP of the code the attack aims for.
        clean_ap: float64 (Q,), t-AP of the benign queries.
    """

    labels: Tensor
    ap: Tensor
    theory_ap: Tensor
    clean_ap: Tensor


@dataclass(frozen=True)
class AttackResult:
    """One attack on all queries; where it has restarts, the worst one per query.

    Attributes:
        ap: float64 (Q,), AP of the attacked queries under their own labels.
        theory_ap: float64 (Q,), AP of the code the attack aims for: its theoretical floor.
        images: uint8 (Q, 3, H, W), the attacked queries.
        codes: int8 ±1 (Q, K), their codes.
        zero_gradient: mean fraction of exactly zero input gradients on the way.
        restart: int64 (Q,), the restart that counts.
        perceptibility: how visible the change is; see :mod:`saat.perceptibility`.
        target: targeted attacks only.
    """

    ap: Tensor
    theory_ap: Tensor
    images: Tensor
    codes: Tensor
    zero_gradient: float
    restart: Tensor
    perceptibility: dict[str, float] = field(default_factory=dict)
    target: Target | None = None

    @property
    def success(self) -> Tensor:
        """(Q,) what the attack makes small: its AP, or minus its t-AP if it is targeted."""
        return self.ap if self.target is None else -self.target.ap


def check_model_and_data(model: object, data: object) -> None:
    """Refuse what is no model, or no data set of this package.

    Raises:
        InputError: with the type that was given.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model: {type(model).__name__}; must be a torch.nn.Module")
    if not isinstance(data, RetrievalData):
        raise InputError(
            f"data: {type(data).__name__}; must be a saat.RetrievalData, which from_tensors makes "
            "of images and labels"
        )


class Victim:
    """A network with the codes of training set, database and queries under it.

    Args:
        network: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).
        data: images and splits; validation queries leave the database while they are searched.
        queries: which queries: a split, or uint8 images (Q, 3, H, W) and 0/1 labels (Q, C), which
            search the whole database.
        top_k: depth of the ranking; the whole database where None.
        ties: see :func:`saat.retrieval.average_precision`.
        limit: only the first so many queries.

    Raises:
        InputError: features that are not finite, what :func:`saat.models.check_network` refuses,
            or a ``top_k`` larger than the database.
    """

    def __init__(
        self,
        network: nn.Module,
        data: RetrievalData,
        queries: QueryKind | tuple[Tensor, Tensor] = "test",
        top_k: int | None = None,
        ties: Ties = "expected",
        limit: int | None = None,
    ) -> None:
        check_model_and_data(network, data)
        self.network = network
        self.data = data
        self.kind = queries
        self.ties = ties
        self._largest_batch = sys.maxsize  # queries at once, since memory ran out
        self.database_rows = data.validation_database if queries == "validation" else data.database
        self.top_k = resolved_top_k(top_k, len(self.database_rows))
        self.rows: np.ndarray
        if isinstance(queries, tuple):
            self.images, self.labels = (values[:limit] for values in queries)
            self.rows = np.arange(len(self.images))
        else:
            self.rows = (data.validation if queries == "validation" else data.test)[:limit]
            self.images, self.labels = data.batch(self.rows), data.label_tensor(self.rows)
        self.database_labels = data.label_tensor(self.database_rows)
        check_network(network, self.images)
        train_features = self._features(data.train)
        self.database_codes = codes_of(self._features(self.database_rows)).cpu()
        self.query_codes = codes_of(self._features(self.rows)).cpu()
        self.knowledge = Knowledge.of(
            train_features,
            data.label_tensor(data.train),
            (self.database_codes, self.database_labels),
        )
        self.clean_ap = self.ap(self.query_codes)

    def _features(self, rows: np.ndarray) -> Tensor:
        return self._encoded(lambda part: self.data.batch(rows[part]), len(rows))

    def _encoded(self, batches: Callable[[slice], Tensor], count: int) -> Tensor:
        features = encode(self.network, batches, count)
        broken = int((~features.isfinite()).any(1).sum())
        if broken:  # NaN would pass for −1 in every bit, and chance for robustness
            raise InputError(
                f"model: features of {broken} of {counted(count, 'image')} are not finite; its "
                "weights are damaged, or its training diverged"
            )
        return features

    def codes(self, images: Tensor) -> Tensor:
        """Codes of uint8 images (Q, 3, H, W): int8 ±1 (Q, K) on the CPU.

        Raises:
            InputError: features that are not finite.
        """
        return codes_of(self._encoded(lambda part: images[part], len(images))).cpu()

    def ap(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """AP of ±1 codes (Q, K) under the queries' own labels, or others: float64 (Q,)."""
        wanted = self.labels if labels is None else labels
        return average_precision(
            codes, wanted, self.database_codes, self.database_labels, self.top_k, self.ties
        )

    @property
    def chance_ap(self) -> Tensor:
        """AP of a random order of the database: float64 (Q,)."""
        return chance_average_precision(self.labels, self.database_labels, self.top_k)

    def target_labels(self, seed: int) -> Tensor:
        """The same seeded target labels for every model and attack: uint8 0/1 (Q, C)."""
        return draw_target_labels(self.labels, self.database_labels, generator("targets", seed))

    def attack(
        self,
        name: str,
        attack: Attack,
        threat: ThreatModel,
        seed: int = 0,
        target_seed: int = 0,
        batch_size: int = 128,
        progress: Progress | None = None,
    ) -> AttackResult:
        """Fit an attack, run it on all queries, and measure what it leaves.

        Args:
            name: enters the seeds of the random starts, as does every query's row.
            attack: the attack.
            threat: the ball.
            seed: seed of the random starts.
            target_seed: seed of the target labels.
            batch_size: queries attacked together; never changes a result.
            progress: called with (queries done, queries in all), all restarts together.
        """
        device = self.knowledge.train_codes.device
        with evaluating(self.network), frozen(self.network):
            seed_of_fit = derive_seed("fit", name, seed)
            train = TrainingImages(self.data.label_tensor(self.data.train), self._train_images)
            fitted = attack.fit(self.network, train, self.knowledge, threat, seed_of_fit, progress)
        labels = self.target_labels(target_seed) if attack.targeted else self.labels
        benign = self.query_codes.to(device)
        representatives = fitted.representatives(self.knowledge, labels.to(device), benign)

        def loss(images: Tensor) -> Tensor:
            ap = self.ap(self.codes(images), labels)
            return -ap if attack.targeted else ap

        seeds = partial(self._seeds, name, seed)
        queries = Queries(self.images, labels, self.query_codes, representatives, seeds(0))
        found = attack_queries(
            fitted,
            self.network,
            queries,
            self.knowledge,
            threat,
            batch_size,
            progress,
            seeds,
            loss,
            self._largest_batch,
        )
        if found.batch_size < max(batch_size, BATCH_GRAIN):
            self._largest_batch = found.batch_size
        return self._measured(found, labels, codes_of(fitted.goal(representatives)).cpu(), attack)

    def _measured(
        self, found: AttackedQueries, labels: Tensor, goal: Tensor, attack: Attack
    ) -> AttackResult:
        codes = self.codes(found.images)
        target = None
        if attack.targeted:
            target = Target(labels, *(self.ap(c, labels) for c in (codes, goal, self.query_codes)))
        zero_gradient = 0.0
        for restart, fractions in enumerate(found.zero_gradient if len(self.rows) else ()):
            zero_gradient = (restart * zero_gradient + float(fractions.mean())) / (restart + 1)
        return AttackResult(
            ap=self.ap(codes),
            theory_ap=self.ap(goal),
            images=found.images,
            codes=codes,
            zero_gradient=zero_gradient,
            restart=found.restart,
            perceptibility=perceptibility(self.images, found.images),
            target=target,
        )

    def _train_images(self, positions: Tensor) -> Tensor:
        return self.data.batch(self.data.train[positions.cpu().numpy()])

    def _seeds(self, name: str, seed: int, restart: int) -> Sequence[int]:
        # The first restart's seeds are those of an attack without restarts.
        more = (restart,) if restart else ()
        return [derive_seed("attack", name, seed, int(row), *more) for row in self.rows]
