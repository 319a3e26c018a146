"""The input and the result of a gate."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from torch import Tensor, nn

from saat.adaptive import ModelTraits
from saat.attack_runner import AttackRunner
from saat.attacks import Attack
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Victim


@dataclass(frozen=True)
class StrengthCurve:
    """AP of the queries that the gates attack, along a growing strength of one attack.

    Attributes:
        along: ``eps``, the radius of the ball in its norm, or ``steps``, numbers of iterations.
        ap: strength → float64 (n,), AP of the queries; ``eps`` begins with 0, the clean images.
        positions: int64 (n,), of the queries.
    """

    along: Literal["eps", "steps"]
    ap: Mapping[float, Tensor]
    positions: Tensor


@dataclass(frozen=True)
class GateResult:
    """The result of a gate.

    Attributes:
        name: of the gate; its anchor in ``docs/reliability.md``.
        passed: whether the numbers may be trusted as far as this gate can see.
        detail: one sentence with the decisive numbers.
        measured: those numbers; AP and fractions in [0, 1].
        curve: all AP that it compared, of a gate that raises the strength of an attack.
    """

    name: str
    passed: bool
    detail: str
    measured: Mapping[str, float] = field(default_factory=dict)
    curve: StrengthCurve | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class GateBudget:
    """How much work the gates put into their own attacks.

    Attributes:
        queries: number of queries that are drawn; all are used if there are fewer.
        radii: multiples of the ball's radius, without 0; MAP must fall along them. The whole image
            range comes last.
        steps: iterations of the gate attack at those radii.
        iterations: numbers of iterations T; MAP must fall along them and settle.
        published_steps: iterations of the published attack in the scale gate.
    """

    queries: int
    radii: Sequence[float]
    steps: int
    iterations: Sequence[int]
    published_steps: int


class Scaled(nn.Module):
    """A network with all features multiplied: equal codes, but tanh may lose its gradient."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, 3, H, W) → features (B, K)."""
        features: Tensor = self.network(images)
        return features * self.factor


@dataclass(frozen=True)
class GateContext:
    """An attacked victim, with all that the gates need to judge its results.

    Attributes:
        victim: all queries, with the network that computes the codes.
        traits: see :func:`saat.adaptive.model_traits`.
        gradient_networks: see :func:`saat.adaptive.gradient_networks_of`.
        runner: runs the gates' own attacks.
        results: the battery's results, by name; queries that an attack left out are clean.
        white_box: names in ``results`` of the gradient attacks on this victim.
        query_indices: positions of the queries of an attack, if it was not run on all.
        gate_attack: the attack that the gates repeat with other radii, scales and iterations.
        positions: sorted int64 (n,), the queries that the gates attack.
        gate_budget: size of the gates' attacks.
    """

    victim: Victim
    traits: ModelTraits
    gradient_networks: Mapping[str, nn.Module]
    runner: AttackRunner
    results: Mapping[str, AttackResult]
    white_box: Sequence[str]
    query_indices: Mapping[str, Tensor]
    gate_attack: Attack
    positions: Tensor
    gate_budget: GateBudget

    @cached_property
    def sample(self) -> Victim:
        """The drawn queries, with the network that computes the codes."""
        return self.victim.on_queries(self.positions)

    @property
    def gradient_network(self) -> nn.Module:
        """The network whose gradients the gates' attacks use: the first gradient network."""
        return next(iter(self.gradient_networks.values()))

    def run(
        self,
        attack: Attack,
        threat: ThreatModel | None = None,
        factor: float | None = None,
        name: str = "probe",
    ) -> AttackResult:
        """Attack the drawn queries, always from the same starts, so that differences are paired.

        ``threat`` is another ball than the battery's, ``factor`` multiplies the network's features,
        which the attacker knows, and ``name`` enters the seeds.
        """
        key = (attack, threat, factor, name)
        if key not in self._finished:
            victim = self.sample.attacked_through(self.gradient_network)
            if factor is not None:
                victim.network = Scaled(victim.network, factor)
                scale = factor * victim.knowledge.feature_scale
                victim.knowledge = replace(victim.knowledge, feature_scale=scale)
            self._finished[key] = self.runner.attack(victim, name, attack, threat)
        return self._finished[key]

    def run_gate_attack(
        self,
        threat: ThreatModel | None = None,
        steps: int | None = None,
        factor: float | None = None,
    ) -> AttackResult:
        """:meth:`run` of the gate attack; with ``steps`` iterations, or those of the budget."""
        steps = self.gate_budget.steps if steps is None else steps
        return self.run(replace(self.gate_attack, steps=steps), threat, factor)

    @cached_property
    def _finished(self) -> dict[Hashable, AttackResult]:
        """The cache of finished attacks, because several gates ask for the same attack."""
        return {}
