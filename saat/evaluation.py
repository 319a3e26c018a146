"""Attack a hashing network and measure what retrieval is left.

Works for any module that maps float images in [0, 1] to pre-tanh features (B, K). Codes of
attacked queries are computed from images rounded to bytes: what a victim would receive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from saat.adaptive import ModelTraits, model_traits
from saat.attack_runner import AttackRunner, measured
from saat.attacks import ATTACKS, Attack
from saat.battery import BATTERIES, run_battery
from saat.data import RetrievalData
from saat.errors import InputError, check_known
from saat.evaluation_table import EvaluationTable, Row
from saat.metrics import METRICS, Phase
from saat.perceptibility import perceptibility
from saat.protocol_options import Norm, Ties
from saat.reliability import GateResult
from saat.retrieval import DistanceHistograms, distance_histograms
from saat.sanity import warning_lines
from saat.threat_model import ThreatModel
from saat.transfer import Source
from saat.victim import AttackResult, QueryKind, Target, Victim

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AttackResult", "Evaluation", "Protocol", "QueryKind", "Target", "evaluate"]


@dataclass(frozen=True)
class Protocol:
    """How a model is measured; the same for every model that is compared.

    >>> import saat
    >>> from saat.attacks import HAG
    >>> saat.Protocol({"hag": HAG(steps=20)}, eps=4 / 255).top_k is None
    True

    Attributes:
        attacks: name → attack, steps included; beside those of a battery.
        eps: radius of the ball, in its norm.
        top_k: depth of the ranking; the whole database where None.
        ties: see :func:`saat.retrieval.average_precision`.
        norm: of the ball.
        target_seed: seed of the target labels; the same for every model.
        batch_size: queries attacked together; never changes a result.
    """

    attacks: Mapping[str, Attack] = field(default_factory=dict)
    eps: float = 8 / 255
    top_k: int | None = None
    ties: Ties = "expected"
    norm: Norm = "linf"
    target_seed: int = 0
    batch_size: int = 128

    @property
    def threat(self) -> ThreatModel:
        """The ball."""
        return ThreatModel(self.eps, self.norm)


def named_attacks(
    names: Sequence[str], steps: int, options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Attack]:
    """Registered attacks with ``steps`` iterations, unless their own ``options`` say otherwise."""
    chosen = options or {}
    return {name: ATTACKS[name](**{"steps": steps, **chosen.get(name, {})}) for name in names}


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found; every tensor on the CPU. Printed, it is a table.

    Attributes:
        rows: int64 (Q,), rows of the data set that were the queries.
        clean_ap: float64 (Q,).
        chance_ap: float64 (Q,), AP of a random order.
        attacks: name → result.
        query_codes: int8 ±1 (Q, K), benign.
        labels: uint8 0/1 (Q, C), of the queries.
        database_rows: int64 (N,).
        database_codes: int8 ±1 (N, K).
        database_labels: uint8 0/1 (N, C).
        gate_results: of the battery's gates; without a battery only a failed ``deterministic``.
        query_indices: positions of the queries that an attack was run on, where not all of them (a
            black box is slow); its own numbers are means over these.
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

    def __str__(self) -> str:
        return self.table().text()

    def _repr_html_(self) -> str:
        return self.table().html()

    def to_frame(self) -> "pd.DataFrame":
        """The table as a data frame: a row an attack, columns of :class:`Row`, fractions in [0, 1].

        Raises:
            InputError: pandas is not installed.
        """
        return self.table().frame()

    def table(self) -> EvaluationTable:
        """Clean MAP, every attack, the worst case, chance; what the gates say; warnings."""
        metrics, everyone = self.metrics(), len(self.rows)
        sizes = {name: len(self.query_indices.get(name, self.rows)) for name in self.attacks}

        def row(name: str, map_: str, theory: str = "", queries: int = everyone) -> Row:
            return Row(name, metrics[map_], metrics[theory] if theory else None, queries)

        rows = [row("clean", "clean_map")]
        rows += [row(n, f"map.{n}", f"theory.{n}", sizes[n]) for n in self.untargeted]
        if self.untargeted:
            rows.append(row("worst case", "robust_map", "floor_map"))
        rows.append(row("chance", "chance_map"))
        rows += [row(f"{n} t-MAP", f"tmap.{n}", f"theory.{n}", sizes[n]) for n in self.targets]
        if self.targets:
            rows.append(row("clean t-MAP", "tmap.clean"))
        warnings = warning_lines({"": metrics})
        return EvaluationTable(self.title, rows, self.skipped, self.gate_results, warnings)

    @property
    def unreliable(self) -> list[str]:
        """A sentence per gate that failed; empty where all passed, or none was asked."""
        return [f"{v.name}: {v.detail}" for v in self.gate_results if not v.passed]

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

        Raises:
            InputError: another package brings a metric, and it cannot be used.
        """
        found: dict[str, float] = {}
        for name, metric in METRICS.items():
            if phase in metric.phases:
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
        if name == "clean":
            codes, labels = self.query_codes, self.labels
        else:
            result = self.attacks[name]
            codes = result.codes
            labels = self.labels if result.target is None else result.target.labels
        return distance_histograms(codes, labels, self.database_codes, self.database_labels)


_VARIES = GateResult(
    "deterministic",
    False,
    "two passes over the same images differ, so all numbers vary; a battery says by how much",
)


def evaluate(
    model: nn.Module,
    data: RetrievalData,
    protocol: Protocol | None = None,
    queries: QueryKind = "test",
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    battery: str | None = None,
    store: Path | None = None,
    sources: Mapping[str, nn.Module] | None = None,
) -> Evaluation:
    """Clean and robust retrieval of any network.

    Without a protocol and a battery, the battery ``core`` attacks under L∞ 8/255, MAP is over the
    whole database, and the gates tell whether the robust number can be trusted.

    >>> import saat, torch
    >>> data = saat.RetrievalData.named("digits_mini", image_size=16)
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    >>> found = saat.evaluate(model, data, limit=8)
    >>> print(found)  # doctest: +ELLIPSIS
    MAP@800 in %, ties expected, linf eps 8/255
      clean ...
    >>> found.unreliable  # doctest: +SKIP
    ['above_chance: ...']

    On a network without input gradients the attacks that need them are skipped, which the result
    tells.

    Args:
        model: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).
        data: images and splits; validation queries leave the database while they are searched.
        protocol: attacks, ball, ranking; :class:`Protocol`'s defaults where None.
        queries: which queries.
        seed: seed of the random starts, combined with every query's row.
        limit: only the first so many queries.
        progress: called with (attack name, queries done, queries in all).
        battery: a name in :data:`saat.battery.BATTERIES`: its attacks are run as well, and its
            gates say whether the numbers can be trusted. ``core`` where there is no protocol
            either.
        store: folder that keeps every finished attack; an evaluation that was interrupted and is
            started again with the same arguments and model takes them from there.
        sources: name → another network, in the same place; images that the battery makes on it
            are tried on this one too (``transfer.NAME``).

    Raises:
        InputError: a model that cannot be measured, or on which no attack can be run; a ``top_k``
            larger than the database; an unknown battery.
    """
    if protocol is None:
        protocol, battery = Protocol(), battery or "core"
    _check(protocol)
    if battery is not None:
        check_known("battery", battery, BATTERIES)
    victim = Victim(model, data, queries, protocol.top_k, protocol.ties, limit)
    runner = AttackRunner(
        protocol.threat, seed, protocol.target_seed, protocol.batch_size, store, progress
    )
    traits = model_traits(model, victim.images)
    attacks = runnable(protocol.attacks, traits, battery is not None)
    skipped = dict.fromkeys(
        (name for name in protocol.attacks if name not in attacks), traits.skipping
    )
    results = {name: runner.attack(victim, name, attack) for name, attack in attacks.items()}
    gate_results: Sequence[GateResult] = [_VARIES] if traits.randomised else []
    query_indices: dict[str, Tensor] = {}
    if battery is not None:
        found = run_battery(
            victim,
            protocol.threat,
            battery,
            [
                Source(name, Victim(network, data, queries, protocol.top_k, protocol.ties, limit))
                for name, network in (sources or {}).items()
            ],
            seed=seed,
            progress=progress,
            store=store,
            target_seed=protocol.target_seed,
            batch_size=protocol.batch_size,
        )
        # The protocol's and the battery's attack of one name differ in their iterations.
        every = (*found.results, *found.skipped)
        names = {n: f"{n}.battery" if n in protocol.attacks else n for n in every}
        skipped |= {names[n]: why for n, why in found.skipped.items()}
        results |= {names[n]: r for n, r in found.results.items()}
        gate_results = found.gate_results
        query_indices = {
            names[n]: rows
            for n, rows in found.query_indices.items()
            if len(rows) < len(victim.rows)
        }
        for name, rows in query_indices.items():
            visible = perceptibility(victim.images[rows], results[name].images[rows])
            results[name] = replace(results[name], perceptibility=visible)
    return replace(
        _without_attacks(victim),
        title=_title(victim, protocol),
        attacks=results,
        gate_results=gate_results,
        query_indices=query_indices,
        skipped=skipped,
    )


def _without_attacks(victim: Victim) -> Evaluation:
    return Evaluation(
        rows=victim.rows,
        clean_ap=victim.clean_ap,
        chance_ap=victim.chance_ap,
        query_codes=victim.query_codes,
        labels=victim.labels,
        database_rows=victim.database_rows,
        database_codes=victim.database_codes,
        database_labels=victim.database_labels,
    )


def _check(protocol: object) -> None:
    if not isinstance(protocol, Protocol):
        given = type(protocol).__name__
        raise InputError(f"protocol: {given}; must be a saat.Protocol; a battery is battery=…")
    if not isinstance(protocol.attacks, Mapping):
        raise InputError('protocol.attacks: must be a mapping, such as {"hag": HAG(steps=20)}')
    protocol.threat.check()


def _title(victim: Victim, protocol: Protocol) -> str:
    linf = protocol.norm == "linf"
    eps = f"{255 * protocol.eps:g}/255" if linf else f"{protocol.eps:g}"
    return f"MAP@{victim.top_k} in %, ties {victim.ties}, {protocol.norm} eps {eps}"


def evaluation_of_images(
    victim: Victim,
    images: Mapping[str, Tensor],
    target_labels: Mapping[str, Tensor],
    query_indices: Mapping[str, Tensor],
) -> Evaluation:
    """What attacked images do to a victim, whatever made them: no attack is run.

    What images do not determine (theoretical results, fractions of zero gradients) is NaN.

    Args:
        victim: the attacked network.
        images: attack → uint8 (Q, 3, H, W).
        target_labels: targeted attack → uint8 0/1 (Q, C).
        query_indices: see :class:`Evaluation`.
    """
    unknown = torch.full((len(victim.rows),), torch.nan, dtype=torch.float64)
    results = {}
    for name, attacked in images.items():
        result = replace(measured(victim, attacked, unknown), zero_gradient=float("nan"))
        if name in query_indices:
            rows = query_indices[name]
            visible = perceptibility(victim.images[rows], attacked[rows])
            result = replace(result, perceptibility=visible)
        if name in target_labels:
            labels = target_labels[name]
            reached, before = (victim.ap(c, labels) for c in (result.codes, victim.query_codes))
            result = replace(result, target=Target(labels, reached, unknown, before))
        results[name] = result
    return replace(_without_attacks(victim), attacks=results, query_indices=query_indices)


def runnable(
    attacks: Mapping[str, Attack], traits: ModelTraits, battery: bool
) -> Mapping[str, Attack]:
    """The attacks that a network leaves possible.

    Raises:
        InputError: none is, and its clean MAP would pass for robust.
    """
    if traits.differentiable:
        return attacks
    left = {name: attack for name, attack in attacks.items() if not attack.by_gradient}
    if attacks and not left and not battery:
        free = [name for name, kind in ATTACKS.items() if not kind.by_gradient]
        raise InputError(
            f"model: {traits.no_gradients}, which {', '.join(attacks)} need; attack it with "
            f"{', '.join(free)} or with a battery"
        )
    return left
