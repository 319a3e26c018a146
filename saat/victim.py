"""A network as a target: its codes, its queries, and how well they retrieve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from saat.attacks import Attack, Knowledge, Queries, TrainingImages, attack_queries, frozen
from saat.attacks.attack import BATCH_GRAIN, AttackedQueries
from saat.data import RetrievalData
from saat.errors import InputError
from saat.labels import draw_target_labels
from saat.memory import shrinking
from saat.models import check_network, codes_of, encode, evaluating
from saat.perceptibility import perceptibility
from saat.protocol_options import Ties
from saat.retrieval import average_precision, chance_average_precision
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


class Victim:
    """A network with the codes of training set, database and queries under it.

    Args:
        network: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).
        data: images and splits; validation queries leave the database while they are searched.
        queries: which queries.
        top_k: depth of the ranking.
        ties: see :func:`saat.retrieval.average_precision`.
        limit: only the first so many queries.

    Raises:
        InputError: features that are not finite, or what :func:`saat.models.check_network` refuses.
        ValueError: ``top_k`` larger than the database.
    """

    def __init__(
        self,
        network: nn.Module,
        data: RetrievalData,
        queries: QueryKind = "test",
        top_k: int = 5000,
        ties: Ties = "expected",
        limit: int | None = None,
    ) -> None:
        self.network = network
        self.data = data
        self.kind = queries
        self.top_k, self.ties = top_k, ties
        self._fitting: int | None = None  # queries at once, since memory ran out
        self.rows: np.ndarray = (data.validation if queries == "validation" else data.test)[:limit]
        self.database_rows = data.validation_database if queries == "validation" else data.database
        self.labels = data.label_tensor(self.rows)
        self.images = data.batch(self.rows)
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
        # Before any attack: a ranking deeper than the database is refused while it costs nothing.
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
        guides = fitted.representatives(self.knowledge, labels.to(device), benign)
        best: AttackResult | None = None
        for restart in range(attack.restarts):
            queries = Queries(
                self.images, labels, self.query_codes, guides, self._seeds(name, seed, restart)
            )
            found = self._measure(
                fitted, queries, threat, restart, batch_size, _shifted(progress, restart, attack)
            )
            best = found if best is None else self._worst(best, found, restart)
        assert best is not None
        # Once, not once a restart: at 224 pixels it takes longer than many an attack.
        return replace(best, perceptibility=perceptibility(self.images, best.images))

    def _train_images(self, positions: Tensor) -> Tensor:
        return self.data.batch(self.data.train[positions.cpu().numpy()])

    def _seeds(self, name: str, seed: int, restart: int) -> Sequence[int]:
        # The first restart's seeds are those of an attack without restarts.
        more = (restart,) if restart else ()
        return [derive_seed("attack", name, seed, int(row), *more) for row in self.rows]

    def _measure(
        self,
        attack: Attack,
        queries: Queries,
        threat: ThreatModel,
        restart: int,
        batch_size: int,
        progress: Progress | None,
    ) -> AttackResult:
        attacked = self._attacked(attack, queries, threat, batch_size, progress)
        codes = self.codes(attacked.images)
        goal = codes_of(attack.goal(queries.representatives)).cpu()
        target = None
        if attack.targeted:
            measured = (self.ap(each, queries.labels) for each in (codes, goal, self.query_codes))
            target = Target(queries.labels, *measured)
        return AttackResult(
            ap=self.ap(codes),
            theory_ap=self.ap(goal),
            images=attacked.images,
            codes=codes,
            zero_gradient=float(attacked.zero_gradient.mean()) if len(self.rows) else 0.0,
            restart=torch.full((len(self.rows),), restart),
            target=target,
        )

    def _attacked(
        self,
        attack: Attack,
        queries: Queries,
        threat: ThreatModel,
        batch_size: int,
        progress: Progress | None,
    ) -> AttackedQueries:
        """Where memory runs out, again with half the queries at once, also of later attacks."""

        def attacked(size: int) -> AttackedQueries:
            grain = min(size, BATCH_GRAIN)
            return attack_queries(
                attack, self.network, queries, self.knowledge, threat, size, progress, grain
            )

        first = max(batch_size, BATCH_GRAIN)  # batches are padded to that in any case
        if self._fitting is not None:
            first = min(first, self._fitting)
        found, size = shrinking(attacked, first)
        if size < first:
            self._fitting = size
        return found

    def _worst(self, a: AttackResult, b: AttackResult, restarts: int) -> AttackResult:
        """Per query whichever of ``a`` (the worst of ``restarts``) and ``b`` did more harm."""
        better = b.success < a.success

        def pick(x: Tensor, y: Tensor) -> Tensor:
            return torch.where(better.view(-1, *[1] * (x.dim() - 1)), y, x)

        target = a.target
        if target is not None and b.target is not None:
            ap = pick(target.ap, b.target.ap)
            target = Target(target.labels, ap, target.theory_ap, target.clean_ap)
        return AttackResult(
            ap=pick(a.ap, b.ap),
            theory_ap=a.theory_ap,
            images=pick(a.images, b.images),
            codes=pick(a.codes, b.codes),
            zero_gradient=(restarts * a.zero_gradient + b.zero_gradient) / (restarts + 1),
            restart=pick(a.restart, b.restart),
            target=target,
        )


def _shifted(progress: Progress | None, restart: int, attack: Attack) -> Progress | None:
    """Progress of one restart as progress of all."""
    if progress is None:
        return None
    return lambda done, count: progress(restart * count + done, attack.restarts * count)
