"""What an evaluation found: codes, AP per query, what every attack left, and metrics of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from saat.errors import InputError
from saat.evaluation_table import EvaluationTable, Row
from saat.metrics import METRICS, Phase
from saat.reliability import GateResult
from saat.retrieval import Database, DistanceHistograms
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Target, Victim

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """What :func:`saat.evaluate` found; every tensor on the CPU. Printed, it is a table.

    Attributes:
        rows: int64 (Q,), rows of the data set that were the queries.
        clean_ap: float64 (Q,).
        chance_ap: float64 (Q,), AP of a random order.
        query_codes: int8 ±1 (Q, K), benign.
        labels: uint8 0/1 (Q, C), of the queries.
        database_rows: int64 (N,).
        database_codes: int8 ±1 (N, K).
        database_labels: uint8 0/1 (N, C).
        attacks: name → result, each of full length.
        gate_results: of the battery's gates; without a battery only a failed ``deterministic``.
        query_indices: positions of the queries that an attack was run on, where not all of them (a
            black box is slow); its own numbers are means over these, the others are clean.
        skipped: attack that could not be run on this network → why.
        title: ranking and ball, in words.
    """

    rows: np.ndarray
    clean_ap: Tensor
    chance_ap: Tensor
    query_codes: Tensor
    labels: Tensor
    database_rows: np.ndarray
    database_codes: Tensor
    database_labels: Tensor
    attacks: Mapping[str, AttackResult] = field(default_factory=dict)
    gate_results: Sequence[GateResult] = ()
    query_indices: Mapping[str, Tensor] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    title: str = "MAP in %"

    @classmethod
    def of(cls, victim: Victim, threat: ThreatModel) -> "Evaluation":
        """The evaluation of a victim before any attack; the ball stands in the title."""
        return cls(
            rows=victim.rows,
            clean_ap=victim.clean_ap,
            chance_ap=victim.chance_ap,
            query_codes=victim.query_codes,
            labels=victim.labels,
            database_rows=victim.database_rows,
            database_codes=victim.database_codes,
            database_labels=victim.database_labels,
            title=f"MAP@{victim.top_k} in %, ties {victim.ties}, {threat}",
        )

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def table(self) -> EvaluationTable:
        """Clean MAP, every attack, the worst case, chance; what the gates say; warnings."""
        return EvaluationTable(self)

    def to_frame(self) -> "pd.DataFrame":
        """The table as a data frame: a row an attack, fractions in [0, 1].

        Columns are those of :class:`saat.evaluation_table.Row`.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise InputError("to_frame() needs pandas: pip install pandas") from None
        return pd.DataFrame(self.table().rows, columns=list(Row._fields)).set_index("name")

    @property
    def unreliable(self) -> list[str]:
        """A sentence per gate that failed; empty where all passed, or none was asked."""
        return [f"{gate.name}: {gate.detail}" for gate in self.gate_results if not gate.passed]

    @property
    def untargeted(self) -> dict[str, AttackResult]:
        """Results of the attacks that only want the query's own retrieval to fail."""
        return {name: result for name, result in self.attacks.items() if result.target is None}

    @property
    def targets(self) -> dict[str, Target]:
        """Targets of the targeted attacks."""
        return {name: r.target for name, r in self.attacks.items() if r.target is not None}

    @property
    def worst_ap(self) -> Tensor:
        """Per query the minimum over the clean image and all untargeted attacks: float64 (Q,)."""
        return torch.stack([self.clean_ap, *(a.ap for a in self.untargeted.values())]).amin(0)

    @property
    def worst_target_ap(self) -> Tensor:
        """Per query the maximum t-AP over the clean image and all targeted attacks: (Q,)."""
        found = [ap for target in self.targets.values() for ap in (target.clean_ap, target.ap)]
        return torch.stack(found).amax(0)

    def query_indices_of(self, attack: str) -> Tensor:
        """int64, positions of the queries that an attack took."""
        return self.query_indices.get(attack, torch.arange(len(self.rows)))

    def metrics(self, phase: Phase = Phase.TEST) -> dict[str, float]:
        """Every metric of a phase (:data:`saat.metrics.METRICS`), by its plain name.

        Metrics of a trial, such as its seconds, are not among them.

        Raises:
            InputError: another package brings a metric, and it cannot be used.
        """
        found: dict[str, float] = {}
        for name, metric in METRICS.items():
            if phase in metric.phases and not metric.of_trial:
                found |= metric.values(self, name, phase)
        return found

    def per_query(self) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """(position, AP, restart) of every query an attack took; targeted ones as t-AP.

        Keys are ``clean``, every attack, ``worst``.
        """
        everyone = torch.arange(len(self.rows))
        none = torch.zeros_like(everyone)
        out = {"clean": (everyone, self.clean_ap, none)}
        for name, result in self.attacks.items():
            rows = self.query_indices_of(name)
            ap = result.ap if result.target is None else result.target.ap
            out[name] = (rows, ap[rows], result.restart[rows])
        out["worst"] = (everyone, self.worst_ap, none)
        return out

    def histograms(self, name: str) -> DistanceHistograms:
        """Distance histograms of the benign queries (``clean``) or of those under an attack.

        Those of a targeted attack count what is relevant to the target label.
        """
        codes, labels = self.query_codes, self.labels
        if name != "clean":
            result = self.attacks[name]
            codes = result.codes
            labels = labels if result.target is None else result.target.labels
        return Database(self.database_codes, self.database_labels).histograms(codes, labels)


def evaluation_of_images(
    victim: Victim,
    threat: ThreatModel,
    images: Mapping[str, Tensor],
    target_labels: Mapping[str, Tensor],
    query_indices: Mapping[str, Tensor],
) -> Evaluation:
    """What attacked images do to a victim, whatever made them: no attack is run.

    What images do not determine (theoretical results, fractions of zero gradients) is NaN. By
    attack, ``images`` are uint8 (Q, 3, H, W) and the ``target_labels`` of targeted ones uint8 0/1
    (Q, C); for ``query_indices`` see :class:`Evaluation`.
    """
    attacks = {
        name: victim.measured(
            attacked,
            target_labels=target_labels.get(name),
            zero_gradient=float("nan"),
            positions=query_indices.get(name),
        )
        for name, attacked in images.items()
    }
    return replace(Evaluation.of(victim, threat), attacks=attacks, query_indices=query_indices)
