"""What pruning the battery ``full`` costs in worst case, and saves in forward passes.

    python -m benchmarks.battery --models 2

Models are trained on the embedded digits and attacked by ``full`` with its pruning and without. An
input gradient counts two forward passes. Every row is printed as soon as it is measured;
``--output`` also appends it, as JSON, to a file.

The digits have few queries, of which the sample of the pruning is a large part. So the worst case
is compared on the queries beyond the sample too, and forward passes are counted for the queries of
the three photograph sets, with one source of transferred images.
"""

import argparse
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

import saat
from saat.attack_runner import AttackRunner
from saat.attacks import Attack, Square
from saat.battery import BATTERIES, battery_forward_passes, run_battery
from saat.controls import drawn_queries
from saat.pruning import restarts_needed
from saat.rectifiers import LeakyBackward
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Victim

THREAT = ThreatModel(8 / 255)
# Queries of the photograph sets.
SIZES: Mapping[str, int] = {"FLICKR-25K": 1000, "NUS-WIDE": 2100, "MS-COCO": 5000}
# Square with fewer queries to the network than in ``full``, or it would take most of the time.
SQUARE = Square(steps=1000)

_WIDE = {"lambda": 6.0, "mu": 1e-5, "eps": 11 / 255, "steps": 8, "step_size": "auto"}
_WEAK = {"eps": 3 / 255, "steps": 3, "step_size": "auto"}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "none, 32 bits": {"defense": "none", "bits": 32},
    "saat, 32 bits": {"defense": "saat", "bits": 32, "epochs": 8},
    "atrdh, 32 bits": {"defense": "atrdh", "bits": 32, "epochs": 8},
    "cgat, 32 bits": {"defense": "cgat", "bits": 32, "epochs": 8},
    "saat, 16 bits, ε 11/255": {"defense": "saat", "bits": 16, "epochs": 8, "options": _WIDE},
    "saat, 32 bits, ε 3/255": {"defense": "saat", "bits": 32, "epochs": 8, "options": _WEAK},
    "none, 16 bits": {"defense": "none", "bits": 16},
    "saat, 32 bits, ε 11/255": {"defense": "saat", "bits": 32, "epochs": 8, "options": _WIDE},
}


@dataclass(frozen=True)
class RecordingRunner(AttackRunner):
    """A runner that remembers which restarts of every attack which queries met, and their AP."""

    # (name of the result, restart) → row of the data set → AP
    left: dict[tuple[str, int], dict[int, float]] = field(default_factory=dict)

    def attack(
        self,
        victim: Victim,
        name: str,
        attack: Attack,
        threat: ThreatModel | None = None,
        restart: int = 0,
    ) -> AttackResult:
        """See :meth:`AttackRunner.attack`."""
        found = super().attack(victim, name, attack, threat, restart)
        # The battery attacks through rectifiers that are off, too, where they hide gradients.
        suffix = ".leaky" if isinstance(victim.network, LeakyBackward) else ""
        left = self.left.setdefault((name + suffix, restart), {})
        left |= dict(zip(victim.rows.tolist(), found.ap.tolist(), strict=True))
        return found


@dataclass(frozen=True)
class Measured:
    """A row of the table; MAP as fractions.

    Attributes:
        model: its name.
        clean: MAP without attack.
        whole: worst-case MAP of the battery without pruning, of all queries and of those beyond
            the sample.
        pruned: that with pruning.
        restarts: attack → restarts that the queries beyond the sample met.
        shares: data set → forward passes with pruning by those of ``exhaustive``.
        others: other draws of the sample.
    """

    model: str
    clean: float
    whole: tuple[float, float]
    pruned: tuple[float, float]
    restarts: Mapping[str, int]
    shares: Mapping[str, float]
    others: "Redrawn"

    def row(self) -> str:
        """A row of the page's table."""
        pairs = zip(self.whole, self.pruned, strict=True)
        maps = [100 * self.clean, 100 * self.whole[0], 100 * self.pruned[0]]
        differences = [100 * (pruned - whole) for whole, pruned in pairs]
        cells = [f"{value:.2f}" for value in (*maps, *differences)]
        shares = [f"{100 * share:.0f} %" for share in self.shares.values()]
        return "| " + " | ".join([self.model, *cells, *shares]) + " |"


def measure(
    name: str, network: torch.nn.Module, data: saat.RetrievalData, queries: int | None = None
) -> Measured:
    """Attack a model with the battery ``full``, pruned and not."""
    full = replace(BATTERIES["full"], square=SQUARE, gates=())
    assert full.pruning is not None
    victim = Victim(network, data, "test", 1000, limit=queries)
    beyond = torch.ones(len(victim.rows), dtype=torch.bool)
    beyond[drawn_queries(len(beyond), full.pruning.queries, "square", 0)] = False
    with TemporaryDirectory() as folder:
        runner = RecordingRunner(THREAT, store=Path(folder))
        pruned = run_battery(victim, runner, full)
        other = int(victim.rows[beyond.numpy()][0])
        restarts = {
            name: sum(other in met for (made, _), met in runner.left.items() if made == name)
            for name in pruned.attacks
            if plain(name) in full.white_box
        }
        # A tolerance below zero leaves nothing out; what the pruned run made is in the store.
        nothing = replace(full.pruning, tolerance=-1.0)
        whole = run_battery(victim, runner, replace(full, pruning=nothing))
        before, after = (
            (float(found.worst_ap.mean()), float(found.worst_ap[beyond].mean()))
            for found in (whole, pruned)
        )
        square = len(pruned.query_indices_of("square"))
    controls = {"square"} if square > full.pruning.queries else set()
    shares = shares_of(restarts, controls)
    rows = victim.rows.tolist()
    losses = {
        attack: torch.tensor(
            [[runner.left[attack, r][row] for row in rows] for r in range(kind.restarts)]
        ).double()
        for attack in restarts
        if not (kind := full.white_box[plain(attack)]).targeted
    }
    others = redrawn(losses, victim.clean_ap)
    clean = float(victim.clean_ap.mean())
    return Measured(name, clean, before, after, restarts, shares, others)


class Redrawn(NamedTuple):
    """What other draws of the sample would have done; MAP of the queries beyond it, as fractions.

    Attributes:
        mean: by how much the pruned worst case is higher, on average over the draws.
        largest: at most.
        shares: data set → forward passes, as in :class:`Measured`.
    """

    mean: float
    largest: float
    shares: Mapping[str, float]

    def row(self, model: str) -> str:
        """A row of the page's table."""
        shares = [f"{100 * share:.0f} %" for share in self.shares.values()]
        cells = [model, f"{100 * self.mean:.2f}", f"{100 * self.largest:.2f}", *shares]
        return "| " + " | ".join(cells) + " |"


def redrawn(losses: Mapping[str, Tensor], clean: Tensor, draws: int = 20) -> Redrawn:
    """Choose other samples, from AP that is known of all queries.

    Args:
        losses: untargeted attack → AP (R, Q) of its restarts.
        clean: AP (Q,) without attack.
        draws: how many samples.
    """
    pruning, attacks = BATTERIES["full"].pruning, BATTERIES["full"].white_box
    assert pruning is not None
    passes = {name: attacks[plain(name)].restart_passes(THREAT) for name in losses}
    targeted = {
        name + suffix: 1
        for name, attack in attacks.items()
        for suffix in suffixes(losses)
        if attack.targeted
    }
    differences, shares = [], []
    for draw in range(draws):
        sample = drawn_queries(len(clean), pruning.queries, "square", draw)
        beyond = ~torch.isin(torch.arange(len(clean)), sample)
        here = {name: loss[:, sample] for name, loss in losses.items()}
        needed = restarts_needed(here, clean[sample], passes, pruning.tolerance)
        whole, pruned = (
            torch.cat([clean[None], *(losses[n][: count[n]] for n in losses)]).amin(0)[beyond]
            for count in ({n: len(loss) for n, loss in losses.items()}, needed)
        )
        differences.append(float((pruned - whole).mean()))
        # Targeted attacks have a worst case of their own.
        shares.append(shares_of({**targeted, **needed}, set()))
    mean = {name: sum(share[name] for share in shares) / draws for name in SIZES}
    return Redrawn(sum(differences) / draws, max(differences), mean)


def shares_of(restarts: Mapping[str, int], controls: Collection[str]) -> dict[str, float]:
    """Data set → forward passes of ``full``, see :func:`pruned_passes`, by ``exhaustive``'s."""
    before, shares = BATTERIES["exhaustive"], {}
    for name, queries in SIZES.items():
        whole = battery_forward_passes(before, queries, THREAT, sources=1)
        again = (len(suffixes(restarts)) - 1) * sum(whole[attack] for attack in before.white_box)
        pruned = pruned_passes(restarts, controls, queries)
        shares[name] = sum(pruned.values()) / (sum(whole.values()) + again)
    return shares


def plain(name: str) -> str:
    """The attack behind a result."""
    return name.removesuffix(".leaky")


def suffixes(names: Iterable[str]) -> set[str]:
    """What a network's attacks have behind their names: nothing, and ``.leaky`` where it hides."""
    return {name.removeprefix(plain(name)) for name in names}


def pruned_passes(
    restarts: Mapping[str, int], controls: Collection[str], queries: int
) -> dict[str, float]:
    """Forward passes of ``full``, by attack, for ``square``, ``transfer`` and ``gates``.

    Args:
        restarts: attack → restarts that the queries beyond the sample met.
        controls: those of ``square`` and ``transfer`` that took more than the sample.
        queries: attacked queries.
    """
    full = BATTERIES["full"]
    assert full.pruning is not None
    sample = min(full.pruning.queries, queries)
    passes = battery_forward_passes(full, queries, THREAT, sources=1)
    few = battery_forward_passes(full, sample, THREAT, sources=1)
    for name, count in restarts.items():
        attack = full.white_box[plain(name)]
        one = attack.restart_passes(THREAT) + 1
        passes[name] = one * (sample * attack.restarts + (queries - sample) * count)
    for name in {"square", "transfer"} - set(controls):
        # All queries are encoded for the result.
        passes[name] = few[name] + queries
    return passes


def main() -> None:
    """Measure models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=len(MODELS), help="how many of them")
    parser.add_argument("--first", type=int, default=0, help="how many of them to leave out")
    parser.add_argument("--queries", type=int, help="all 500 of the digits by default")
    parser.add_argument("--output", type=Path, help="file that every row is added to, as JSON")
    chosen = parser.parse_args()
    data = saat.RetrievalData.named("digits", image_size=32, val_queries=300)
    for name in list(MODELS)[chosen.first : chosen.first + chosen.models]:
        network = saat.train(
            data, hashing="dph", pretrain_epochs=20, pretrain_options={"lr": 0.3}, seed=3,
            device="cpu", **MODELS[name],
        )  # fmt: skip
        found = measure(name, network, data, chosen.queries)
        print(found.row(), found.others.row(name), found.restarts, sep="\n", flush=True)
        if chosen.output:
            with chosen.output.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main()
