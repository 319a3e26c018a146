"""How each attack compares with the strongest of its kind, on models trained on the digits.

    python -m benchmarks.attacks --models none saat

Prints a row as soon as it is measured; ``--output`` also adds it, as JSON, to a file. ``--parts``
chooses among ``kinds`` (attacks that optimise for every query), ``generators`` (raw and within the
ball), and ``universal`` (one perturbation for all queries of a target).
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import saat
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, SSTUAA, Attack, Queries, TrainingImages, attack_queries, frozen
from saat.attacks.generator_attack import GeneratorAttack
from saat.bootstrap import bootstrap_interval
from saat.models import device_of, evaluating, to_float
from saat.seeding import derive_seed
from saat.threat_model import ThreatModel
from saat.victim import Victim

THREAT = ThreatModel(8 / 255)
TOP_K = 1000
MODELS: Mapping[str, Mapping[str, Any]] = {
    "none": {"defense": "none"},
    "saat": {"defense": "saat", "epochs": 8},
}
# Kind → row → attack, options. T = 100 where the published number would say more of T than of the
# attack, and the published T beside it.
KINDS: Mapping[str, Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "targeted": {
        "apgd_smoothap_targeted": ("apgd_smoothap_targeted", {}),
        "mainstay_targeted": ("mainstay_targeted", {}),
        "apgd_mainstay_targeted": ("apgd_mainstay_targeted", {}),
        "apgd_margin_targeted": ("apgd_margin_targeted", {}),
        "pta, T 20": ("pta", {}),
        "pta, T 100": ("pta", {"steps": 100}),
        "nag, T 32": ("nag", {}),
        "nag, T 100": ("nag", {"steps": 100}),
        "p2p, T 100": ("p2p", {"steps": 100}),
        "dhta, T 100": ("dhta", {"steps": 100}),
    },
    "untargeted": {
        "apgd_smoothap": ("apgd_smoothap", {}),
        "apgd_mainstay": ("apgd_mainstay", {}),
        "mainstay": ("mainstay", {}),
        "pga": ("pga", {}),
    },
    "black box, 1,000 queries": {
        "square": ("square", {"steps": 1000}),
        "rank_only": ("rank_only", {"steps": 1000}),
    },
}
GENERATORS: Mapping[str, Mapping[str, Any]] = {
    "prosgan": {"prototype_steps": 500},
    "tta_gan": {},
    "all_points": {},
}
Row = dict[str, Any]


def kinds(victim: Victim) -> Iterator[Row]:
    """MAP, or t-MAP, of every kind; each with its distance from the first row of the kind."""
    for kind, attacks in KINDS.items():
        first: Tensor | None = None
        for name, (registered, options) in attacks.items():
            result = AttackRunner(THREAT).attack(victim, name, ATTACKS[registered](**options))
            ap, clean, theory = result.ap, victim.clean_ap, result.theory_ap
            if result.target is not None:
                clean, theory = result.target.clean_ap, result.target.theory_ap
                ap = result.target.ap
            first = ap if first is None else first
            yield {
                "kind": kind, "attack": name, **_percent(ap=ap, clean=clean, theory=theory),
                "behind": _interval(ap - first),
            }  # fmt: skip


def fitted(victim: Victim, name: str, attack: Attack, threat: ThreatModel) -> Attack:
    """An attack fitted as a runner does."""
    data = victim.data

    def images(rows: Tensor) -> Tensor:
        return data.batch(data.train[rows.cpu().numpy()])

    train = TrainingImages(data.label_tensor(data.train), images, victim.target_labels(0))
    with evaluating(victim.network), frozen(victim.network):
        seed = derive_seed("fit", name, 0)
        return attack.fit(victim.network, train, victim.knowledge, threat, seed)


def within(
    victim: Victim, attack: Attack, threat: ThreatModel, labels: Tensor | None = None
) -> Tensor:
    """Bytes of all queries under a fitted attack, towards their targets or other ``labels``."""
    wanted = victim.target_labels(0) if labels is None else labels
    codes = victim.query_codes
    queries = Queries(victim.images, wanted, codes, codes, range(len(wanted)), victim.labels)
    return attack_queries(attack, victim.network, queries, victim.knowledge, threat).images


def generators(victim: Victim, epochs: int, width: int) -> Iterator[Row]:
    """t-MAP of images as generated, and of those projected into the ball."""
    targets = victim.target_labels(0)
    for name, options in GENERATORS.items():
        kind: Callable[..., Attack] = ATTACKS[name]
        attack = fitted(victim, name, kind(epochs=epochs, width=width, **options), THREAT)
        assert isinstance(attack, GeneratorAttack)
        raw = torch.cat([
            (attack.generate(to_float(part, device_of(victim.network)), labels.float()) * 255)
            .round().to(torch.uint8)
            for part, labels in zip(victim.images.split(96), targets.split(96), strict=True)
        ])  # fmt: skip
        change = (raw.int() - victim.images.int()).abs().flatten(1).double()
        goal = attack.representatives(victim.knowledge, targets, victim.query_codes)
        yield {
            "attack": name,
            **_percent(
                raw=victim.ap(victim.codes(raw), targets),
                ball=victim.ap(victim.codes(within(victim, attack, THREAT)), targets),
                wide=victim.ap(
                    victim.codes(within(victim, attack, ThreatModel(32 / 255))), targets
                ),
                theory=victim.ap(goal.to(torch.int8), targets),
            ),
            "levels": float(change.mean()),
            "largest": float(change.amax(1).median()),
        }


def universal(victim: Victim, updates: int) -> Iterator[Row]:
    """One perturbation a target: radii, its two terms, more updates, and controls."""
    targets = victim.target_labels(0)
    others = targets.roll(1, 0)
    settings = [(radius, 1.0, updates) for radius in (4, 8, 10, 16)]
    settings += [(8, 0.0, updates), (16, 0.0, updates), (8, 1.0, 4 * updates)]
    for radius, layers, count in settings:
        threat = ThreatModel(radius / 255)
        attack = fitted(victim, "ss_tuaa", SSTUAA(updates=count, layers=layers), threat)
        images, elsewhere = within(victim, attack, threat), within(victim, attack, threat, others)
        goal = attack.representatives(victim.knowledge, targets, victim.query_codes)
        yield {
            "radius": radius, "layers": layers, "updates": count,
            "targets": len(targets[targets.sum(1) > 0].unique(dim=0)),
            **_percent(
                t_ap=victim.ap(victim.codes(images), targets),
                clean=victim.ap(victim.query_codes, targets),
                other=victim.ap(victim.codes(elsewhere), targets),
                theory=victim.ap(goal.to(torch.int8), targets),
                own=victim.ap(victim.codes(images), victim.labels),
                own_clean=victim.clean_ap,
            ),
        }  # fmt: skip
    for radius in (8, 16):
        threat = ThreatModel(radius / 255)
        best = ATTACKS["apgd_smoothap_targeted"]()
        found = AttackRunner(threat).attack(victim, "apgd_smoothap_targeted", best)
        assert found.target is not None
        yield {"radius": radius, "attack": "for every query", **_percent(t_ap=found.target.ap)}


def _percent(**ap: Tensor) -> Row:
    return {name: 100 * float(values.mean()) for name, values in ap.items()}


def _interval(difference: Tensor) -> list[float]:
    """Mean and 95 % bootstrap interval over the queries, in points."""
    return [100 * value for value in bootstrap_interval(difference)]


def trained(name: str, data: saat.RetrievalData) -> nn.Module:
    """One of the :data:`MODELS`."""
    return saat.train(
        data, bits=32, pretrain_epochs=20, pretrain_options={"lr": 0.3}, device="cpu",
        **MODELS[name],
    )  # fmt: skip


def main() -> None:
    """Measure models and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parts = ("kinds", "generators", "universal")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--queries", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=10, help="of every generator")
    parser.add_argument("--width", type=int, default=16, help="of every generator")
    parser.add_argument("--updates", type=int, default=100, help="of a universal perturbation")
    parser.add_argument("--output", type=Path, help="file that every row is added to, as JSON")
    chosen = parser.parse_args()
    data = saat.RetrievalData.named("digits", image_size=32, val_queries=300)
    for name in chosen.models:
        victim = Victim(trained(name, data), data, "test", TOP_K, limit=chosen.queries)
        measured = {
            "kinds": lambda victim=victim: kinds(victim),
            "generators": lambda victim=victim: generators(victim, chosen.epochs, chosen.width),
            "universal": lambda victim=victim: universal(victim, chosen.updates),
        }
        for part in chosen.parts:
            for row in measured[part]():
                line = json.dumps({"model": name, "part": part, **row})
                print(line, flush=True)
                if chosen.output:
                    with chosen.output.open("a") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
