"""Attack a hashing network and measure what retrieval is left.

Works for any module that maps float images in [0, 1] to pre-tanh features (B, K). Codes of
attacked queries are computed from images rounded to bytes: what a victim would receive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saat.adaptive import ModelTraits, model_traits
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, Attack
from saat.battery import run_battery
from saat.bootstrap import bootstrap_interval
from saat.codes import distinct_codes
from saat.data import RetrievalData
from saat.errors import InputError
from saat.perceptibility import perceptibility
from saat.protocol_options import Norm, Ties
from saat.reliability import GateResult
from saat.retrieval import DistanceHistograms, distance_histograms
from saat.threat_model import ThreatModel
from saat.transfer import Source
from saat.victim import AttackResult, QueryKind, Target, Victim

__all__ = ["AttackResult", "Evaluation", "Protocol", "QueryKind", "Target", "evaluate"]


@dataclass(frozen=True)
class Protocol:
    """How a model is measured; the same for every model that is compared.

    Attributes:
        attacks: name → attack, steps included.
        eps: radius of the ball, in its norm.
        top_k: depth of the ranking.
        ties: see :func:`saat.retrieval.average_precision`.
        norm: of the ball.
        target_seed: seed of the target labels; the same for every model.
        batch_size: queries attacked together; never changes a result.
    """

    attacks: Mapping[str, Attack]
    eps: float = 8 / 255
    top_k: int = 5000
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
    """What :func:`evaluate` found; every tensor on the CPU.

    Attributes:
        rows: int64 (Q,), rows of the data set that were the queries.
        clean_ap: float64 (Q,).
        chance_ap: float64 (Q,), AP of a random order.
        attacks: name → result.
        query_codes: int8 ±1 (Q, K), benign.
        database_rows: int64 (N,).
        database_codes: int8 ±1 (N, K).
        verdicts: of the battery's gates; without a battery only a failed ``deterministic``.
        taken: positions of the queries that an attack took, where not all of them (a black box
            is slow); its own numbers are means over these.
        skipped: attack that could not be run on this network → why.
    """

    rows: np.ndarray
    clean_ap: Tensor
    chance_ap: Tensor
    query_codes: Tensor
    database_rows: np.ndarray
    database_codes: Tensor
    attacks: Mapping[str, AttackResult] = field(default_factory=dict)
    gate_results: Sequence[GateResult] = ()
    taken: Mapping[str, Tensor] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

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

    def metrics(self) -> dict[str, float]:
        """Means over the queries, in [0, 1]; names as in ``docs/architecture.md``.

        Two kinds are no means: ``lift.clean`` and ``lift.robust``, the lower ends of the 95 %
        intervals of AP minus chance, and ``distinct_codes``, a count over the database.
        """
        means = {
            "clean_map": self.clean_ap,
            "robust_map": self.worst_ap,
            "chance_map": self.chance_ap,
        }
        for name, result in self.untargeted.items():
            rows = self.taken.get(name, slice(None))
            means[f"map.{name}"] = result.ap[rows]
            means[f"theory.{name}"] = result.theory_ap[rows]
        for name, target in self.targets.items():
            means["tmap.clean"] = target.clean_ap
            means[f"tmap.{name}"] = target.ap
            means[f"theory.{name}"] = target.theory_ap
        if self.targets:
            means["target_map"] = self.worst_target_ap
        out = {name: float(values.mean()) for name, values in means.items()}
        out["lift.clean"] = bootstrap_interval(self.clean_ap - self.chance_ap).low
        out["lift.robust"] = bootstrap_interval(self.worst_ap - self.chance_ap).low
        out["distinct_codes"] = float(distinct_codes(self.database_codes))
        if self.untargeted:
            out["floor_map"] = min(out[f"theory.{name}"] for name in self.untargeted)
        for name, result in self.attacks.items():
            out[f"zero_grad.{name}"] = result.zero_gradient
            out |= {f"{kind}.{name}": value for kind, value in result.perceptibility.items()}
        if self.gate_results:
            out["gates_failed"] = float(len(self.unreliable))
        if self.skipped:
            out["attacks_skipped"] = float(len(self.skipped))
        return out

    def per_query(self) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """(position, AP, restart) of every query an attack took; targeted ones as t-AP.

        Keys are ``clean``, every attack, ``worst``.
        """
        everyone = torch.arange(len(self.rows))
        none = torch.zeros_like(everyone)
        out = {"clean": (everyone, self.clean_ap, none)}
        for name, result in self.attacks.items():
            rows = self.taken.get(name, everyone)
            ap = result.ap if result.target is None else result.target.ap
            out[name] = (rows, ap[rows], result.restart[rows])
        out["worst"] = (everyone, self.worst_ap, none)
        return out

    def histograms(self, data: RetrievalData) -> dict[str, DistanceHistograms]:
        """Distance histograms of the benign queries (``clean``) and of every attack.

        Those of a targeted attack count what is relevant to the target label.
        """
        labels = data.label_tensor(self.rows)
        database = (self.database_codes, data.label_tensor(self.database_rows))
        out = {"clean": distance_histograms(self.query_codes, labels, *database)}
        for name, result in self.attacks.items():
            wanted = labels if result.target is None else result.target.labels
            out[name] = distance_histograms(result.codes, wanted, *database)
        return out


_VARIES = GateResult(
    "deterministic",
    False,
    "two passes over the same images differ, so all numbers vary; a battery says by how much",
)


def evaluate(
    model: nn.Module,
    data: RetrievalData,
    protocol: Protocol,
    queries: QueryKind = "test",
    seed: int = 0,
    limit: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    battery: str | None = None,
    store: Path | None = None,
    sources: Mapping[str, nn.Module] | None = None,
) -> Evaluation:
    """Clean and robust retrieval of ``model`` under ``protocol``.

    On a network without input gradients the attacks that need them are skipped, which the result
    tells.

    Args:
        model: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).
        data: images and splits; validation queries leave the database while they are searched.
        protocol: attacks, ball, ranking.
        queries: which queries.
        seed: seed of the random starts, combined with every query's row.
        limit: only the first so many queries.
        progress: called with (attack name, queries done, queries in all).
        battery: a name in :data:`saat.battery.BATTERIES`: its attacks are run as well, and its
            gates say whether the numbers can be trusted.
        store: folder that keeps every finished attack; an evaluation that was interrupted and is
            started again with the same arguments and model takes them from there.
        sources: name → another network, in the same place; images that the battery makes on it
            are tried on this one too (``transfer.NAME``).

    Raises:
        InputError: a model that cannot be measured, or on which no attack can be run.
        ValueError: ``top_k`` larger than the database.
    """
    victim = Victim(model, data, queries, protocol.top_k, protocol.ties, limit)
    runner = AttackRunner(
        protocol.threat, seed, protocol.target_seed, protocol.batch_size, store, progress
    )
    traits = model_traits(model, victim.images)
    attacks = _runnable(protocol.attacks, traits, battery is not None)
    skipped = dict.fromkeys(
        (name for name in protocol.attacks if name not in attacks), traits.skipping
    )
    results = {name: runner.attack(victim, name, attack) for name, attack in attacks.items()}
    gate_results: Sequence[GateResult] = [_VARIES] if traits.randomised else []
    taken: dict[str, Tensor] = {}
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
        taken = {names[n]: rows for n, rows in found.taken.items() if len(rows) < len(victim.rows)}
        for name, rows in taken.items():
            visible = perceptibility(victim.images[rows], results[name].images[rows])
            results[name] = replace(results[name], perceptibility=visible)
    return Evaluation(
        rows=victim.rows,
        clean_ap=victim.clean_ap,
        chance_ap=victim.chance_ap,
        query_codes=victim.query_codes,
        database_rows=victim.database_rows,
        database_codes=victim.database_codes,
        attacks=results,
        gate_results=gate_results,
        taken=taken,
        skipped=skipped,
    )


def _runnable(
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
