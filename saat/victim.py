"""A network as a target: its codes, its queries, and how well they retrieve."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from saat.attacks import Knowledge
from saat.data import RetrievalData
from saat.errors import InputError
from saat.labels import draw_target_labels
from saat.models import check_network, codes_of, device_of, encode
from saat.perceptibility import perceptibility
from saat.protocol_options import Ties
from saat.retrieval import Database, chance_average_precision, resolved_top_k
from saat.seeding import generator
from saat.wording import counted

QueryKind = Literal["validation", "test"]


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
        measure: computes :attr:`perceptibility`.
        target: targeted attacks only.
    """

    ap: Tensor
    theory_ap: Tensor
    images: Tensor
    codes: Tensor
    zero_gradient: float
    restart: Tensor
    measure: Callable[[], dict[str, float]] = field(default=dict, repr=False)
    target: Target | None = None

    @cached_property
    def perceptibility(self) -> dict[str, float]:
        """How visible the change is; see :mod:`saat.perceptibility`.

        Computed when it is first read: eigenvalues of a photograph take longer than a step of an
        attack, and validation and most gates read none of them.
        """
        return self.measure()


def check_model_and_data(model: object, data: object) -> None:
    """Raise an InputError for what is no model, or no data set of this package."""
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
        queries: a split, or uint8 images (Q, 3, H, W) and 0/1 labels (Q, C), which search the
            whole database.
        top_k: depth of the ranking; the whole database where None.
        ties: see :func:`saat.retrieval.average_precision`.
        limit: only the first so many queries.
        searched: rows that are searched instead, as while validating. Then training rows among
            them are not encoded a second time.
        train_codes: ±1 (N, K), codes of the training set that are known already; it is not encoded
            then, and the scale of the features is that of the searched rows.

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
        searched: np.ndarray | None = None,
        train_codes: Tensor | None = None,
    ) -> None:
        check_model_and_data(network, data)
        self.network = network
        self.data = data
        self.kind = queries
        self.ties = ties
        # Targets are drawn for all queries, so that a part of them has the same ones.
        self._whole: tuple[Victim, Tensor] | None = None
        self.database_rows = data.validation_database if queries == "validation" else data.database
        if searched is not None:
            self.database_rows = searched
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
        # Two tensors of features at most, and none of what is known.
        train_features = self._features(data.train) if searched is None else None
        features = self._features(self.database_rows)
        self.database_codes = codes_of(features).cpu()
        self.query_codes = codes_of(self._features(self.rows)).cpu()
        if train_features is None and train_codes is None:
            train_features = self._train_features(features)
        self.knowledge = Knowledge.of(
            features if train_features is None else train_features,
            data.label_tensor(data.train),
            (self.database_codes, self.database_labels),
            train_codes,
        )
        self._database = Database(self.database_codes, self.database_labels)
        self.clean_ap = self.ap(self.query_codes)

    def _features(self, rows: np.ndarray) -> Tensor:
        pinned = device_of(self.network).type == "cuda"
        return self._encoded(lambda part: self.data.batch(rows[part], pinned), len(rows))

    def _train_features(self, database_features: Tensor) -> Tensor:
        """Features (N, K) of the training set; of what is in the database, its own (M, K)."""
        rows, order = self.data.train, np.argsort(self.database_rows, kind="stable")
        in_order = self.database_rows[order]
        places = np.searchsorted(in_order, rows).clip(max=max(len(order) - 1, 0))
        is_known = in_order[places] == rows
        features = database_features[order[places]]
        if not is_known.all():
            features[torch.from_numpy(~is_known)] = self._features(rows[~is_known])
        return features

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
        """Codes of uint8 images (Q, 3, H, W): int8 ±1 (Q, K) on the CPU."""
        return codes_of(self._encoded(lambda part: images[part], len(images))).cpu()

    def ap(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """AP of ±1 codes (Q, K) under the queries' own labels, or others: float64 (Q,)."""
        wanted = self.labels if labels is None else labels
        return self._database.average_precision(codes, wanted, self.top_k, self.ties)

    @property
    def chance_ap(self) -> Tensor:
        """AP of a random order of the database: float64 (Q,)."""
        return chance_average_precision(self.labels, self.database_labels, self.top_k)

    def target_labels(self, seed: int) -> Tensor:
        """The same seeded target labels for every model and attack: uint8 0/1 (Q, C)."""
        if self._whole is not None:
            victim, positions = self._whole
            return victim.target_labels(seed)[positions]
        return draw_target_labels(self.labels, self.database_labels, generator("targets", seed))

    def measured(
        self,
        images: Tensor,
        goal: Tensor | None = None,
        target_labels: Tensor | None = None,
        zero_gradient: float = 0.0,
        restart: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> AttackResult:
        """What attacked images leave of the retrieval, whatever made them.

        Args:
            images: uint8 (Q, 3, H, W).
            goal: ±1 (Q, K), the codes that the attack aims for; AP in theory is NaN where None.
            target_labels: 0/1 (Q, C), of a targeted attack.
            zero_gradient: see :class:`AttackResult`.
            restart: int64 (Q,), the restart that counts; the first where None.
            positions: int64, the queries that were attacked, of which perceptibility is measured.
        """
        codes = self.codes(images)

        def theory(labels: Tensor | None) -> Tensor:
            return self.clean_ap * torch.nan if goal is None else self.ap(goal, labels)

        target = None
        if target_labels is not None:
            reached, clean = (self.ap(c, target_labels) for c in (codes, self.query_codes))
            target = Target(target_labels, reached, theory(target_labels), clean)
        return AttackResult(
            ap=self.ap(codes),
            theory_ap=theory(None),
            images=images,
            codes=codes,
            zero_gradient=zero_gradient,
            restart=torch.zeros(len(images), dtype=torch.int64) if restart is None else restart,
            measure=partial(perceptibility, self.images, images, positions),
            target=target,
        )

    def on_queries(self, positions: Tensor) -> "Victim":
        """The same victim with some of its queries; nothing is encoded again."""
        part = copy.copy(self)
        part._whole = self, positions
        part.rows = self.rows[positions.numpy()]
        part.labels, part.images = self.labels[positions], self.images[positions]
        part.query_codes, part.clean_ap = self.query_codes[positions], self.clean_ap[positions]
        return part

    def attacked_through(self, network: nn.Module) -> "Victim":
        """The same victim with another network of the same codes to take gradients of."""
        other = copy.copy(self)
        other.network = network
        return other
