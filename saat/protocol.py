"""A protocol, and the evaluation of a network by it.

It works for any module that maps float images in [0, 1] to pre-tanh features (B, K). Codes of
attacked queries are computed from images rounded to bytes: what a victim would receive.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from saat.adaptive import model_traits, runnable
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, Attack
from saat.battery import BATTERIES, run_battery
from saat.data import RetrievalData
from saat.errors import InputError, check_known
from saat.evaluation import Evaluation
from saat.models import HashingNetwork, device_of
from saat.precision import PRECISIONS, Precision, check_precision, computing
from saat.protocol_options import Norm, Ties
from saat.reliability import GateResult
from saat.stopwatch import Stage, stage
from saat.threat_model import ThreatModel
from saat.victim import QueryKind, Victim

T = TypeVar("T")


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
        precision: of every forward and backward pass; see :func:`saat.precision.computing`.
    """

    attacks: Mapping[str, Attack] = field(default_factory=dict)
    eps: float = 8 / 255
    top_k: int | None = None
    ties: Ties = "expected"
    norm: Norm = "linf"
    target_seed: int = 0
    batch_size: int = 128
    precision: Precision = "fp32"


def named_attacks(
    names: Sequence[str], steps: int, options: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Attack]:
    """Registered attacks with ``steps`` iterations, unless their own ``options`` say otherwise."""
    chosen = options or {}
    return {name: ATTACKS[name](**{"steps": steps, **chosen.get(name, {})}) for name in names}


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
            larger than the database; an unknown battery; a precision that device or model lacks.
    """
    if protocol is None:
        protocol, battery = Protocol(), battery or "core"
    threat = _checked_ball(protocol)
    if battery is not None:
        check_known("battery", battery, BATTERIES)
    ranking, own = (protocol.top_k, protocol.ties), protocol.attacks
    runner = AttackRunner(threat, seed, protocol.target_seed, protocol.batch_size, store, progress)
    with _measuring(model, protocol.precision):
        victim = Victim(model, data, queries, *ranking, limit)
        found = _attacked(victim, protocol, runner, battery is not None)
        if battery is None:
            return found
        others = {
            name: Victim(network, data, queries, *ranking, limit)
            for name, network in (sources or {}).items()
        }
        with stage(Stage.BATTERY):
            added = run_battery(victim, runner, BATTERIES[battery], others)

    def renamed(by_attack: Mapping[str, T]) -> dict[str, T]:
        # The protocol's and the battery's attack of one name differ in their iterations.
        return {f"{n}.battery" if n in own else n: value for n, value in by_attack.items()}

    return replace(
        found,
        attacks={**found.attacks, **renamed(added.attacks)},
        gate_results=added.gate_results,
        query_indices=renamed(added.query_indices),
        skipped={**found.skipped, **renamed(added.skipped)},
    )


def validate(
    model: nn.Module,
    data: RetrievalData,
    protocol: Protocol,
    searched: np.ndarray | None = None,
    train_codes: Tensor | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Evaluation:
    """:func:`evaluate` on validation queries, by as few forward passes as possible.

    Numbers of the metrics that validation has are those of :func:`evaluate` where all rows are
    searched and ``train_codes`` is None.

    ``searched`` are the int64 rows of the database that are searched
    (:meth:`saat.RetrievalData.validation_part`), in rankings of depth ``protocol.top_k``; training
    rows among them are encoded once. As :func:`evaluate` does it where None. ``train_codes`` are
    codes of the training set (:meth:`saat.training.Training.train_codes`), which is not encoded
    then. The other arguments are those of :func:`evaluate`.
    """
    threat = _checked_ball(protocol)
    ranking = (protocol.top_k, protocol.ties)
    runner = AttackRunner(threat, seed, protocol.target_seed, protocol.batch_size)
    with _measuring(model, protocol.precision):
        victim = Victim(model, data, "validation", *ranking, limit, searched, train_codes)
        return _attacked(victim, protocol, runner, with_battery=False)


def _attacked(
    victim: Victim, protocol: Protocol, runner: AttackRunner, with_battery: bool
) -> Evaluation:
    """The protocol's own attacks, as far as the network allows them."""
    traits = model_traits(victim.network, victim.images)
    attacks = runnable(protocol.attacks, traits, with_battery)
    return replace(
        Evaluation.of(victim, runner.threat),
        attacks={name: runner.attack(victim, name, attack) for name, attack in attacks.items()},
        gate_results=[_VARIES] if traits.randomised else [],
        skipped={name: traits.skipping for name in protocol.attacks if name not in attacks},
    )


def _measuring(model: object, precision: Precision) -> AbstractContextManager[None]:
    """Compute in the protocol's precision; convolutions are not timed, so that runs repeat."""
    check_known("protocol.precision", precision, PRECISIONS)
    device = device_of(model) if isinstance(model, nn.Module) else torch.device("cpu")
    check_precision(precision, device)
    parts = model.modules() if isinstance(model, nn.Module) else ()
    if precision == "bf16" and not any(isinstance(part, HashingNetwork) for part in parts):
        raise InputError(
            "protocol.precision: bf16: only networks of this package compute in it; fp32 or tf32"
        )
    return computing(precision, device, benchmark=False)


def _checked_ball(protocol: object) -> ThreatModel:
    if not isinstance(protocol, Protocol):
        given = type(protocol).__name__
        raise InputError(f"protocol: {given}; must be a saat.Protocol; a battery is battery=…")
    if not isinstance(protocol.attacks, Mapping):
        raise InputError('protocol.attacks: must be a mapping, such as {"hag": HAG(steps=20)}')
    threat = ThreatModel(protocol.eps, protocol.norm)
    threat.check()
    return threat
