"""How each attack compares with the strongest of its kind, on models trained on the digits.

    python -m benchmarks.attacks --models none saat

Prints a row as soon as it is measured; ``--output`` also adds it, as JSON, to a file. ``--parts``
chooses among the kinds of attacks that optimise for every query (``targeted``, ``untargeted``,
``black_box``), ``generators`` (raw and within the ball), and ``universal`` (one perturbation for
all queries of a target).
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
WIDE = ThreatModel(32 / 255)
TOP_K = 1000
MODELS: Mapping[str, Mapping[str, Any]] = {
    "none": {"defense": "none"},
    "saat": {"defense": "saat", "epochs": 8},
}
# Kind → row → attack, options. The first row of a kind is what the others are compared with.
KINDS: Mapping[str, Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "targeted": {
        "apgd_smoothap_targeted": ("apgd_smoothap_targeted", {}),
        "mainstay_targeted": ("mainstay_targeted", {}),
        "apgd_mainstay_targeted": ("apgd_mainstay_targeted", {}),
        "apgd_margin_targeted": ("apgd_margin_targeted", {}),
        "pta, T 20": ("pta", {}),
        "nag, T 32": ("nag", {}),
        "p2p, T 100": ("p2p", {"steps": 100}),
    },
    "untargeted": {
        "apgd_smoothap": ("apgd_smoothap", {}),
        "apgd_mainstay": ("apgd_mainstay", {}),
        "mainstay": ("mainstay", {}),
        "pga": ("pga", {}),
    },
    "black_box": {
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


def compared(victim: Victim, kind: str) -> Iterator[Row]:
    """MAP, or t-MAP, of a kind; each with its distance from the first row."""
    first: Tensor | None = None
    for name, (registered, options) in KINDS[kind].items():
        result = AttackRunner(THREAT).attack(victim, name, ATTACKS[registered](**options))
        ap, clean, theory = result.ap, victim.clean_ap, result.theory_ap
        if result.target is not None:
            clean, theory = result.target.clean_ap, result.target.theory_ap
            ap = result.target.ap
        first = ap if first is None else first
        yield {
            "attack": name, **_percent(ap=ap, clean=clean, theory=theory),
            "behind": _interval(ap - first),
        }  # fmt: skip


def fitted(
    victim: Victim, name: str, attack: Attack, threat: ThreatModel, targets: Tensor
) -> Attack:
    """An attack fitted as a runner does, for some target labels."""
    data = victim.data

    def images(rows: Tensor) -> Tensor:
        return data.batch(data.train[rows.cpu().numpy()])

    train = TrainingImages(data.label_tensor(data.train), images, targets)
    with evaluating(victim.network), frozen(victim.network):
        seed = derive_seed("fit", name, 0)
        return attack.fit(victim.network, train, victim.knowledge, threat, seed)


def attacked(victim: Victim, attack: Attack, threat: ThreatModel, targets: Tensor) -> Tensor:
    """Bytes of all queries under a fitted attack, each towards its target labels (Q, C)."""
    own = victim.query_codes
    aims = attack.representatives(victim.knowledge, targets, own)
    queries = Queries(victim.images, targets, own, aims, range(len(targets)), victim.labels)
    return attack_queries(attack, victim.network, queries, victim.knowledge, threat).images


def generators(victim: Victim, epochs: int, width: int) -> Iterator[Row]:
    """t-MAP of images as generated, and of those projected into the ball."""
    targets = victim.target_labels(0)
    for name, options in GENERATORS.items():
        kind: Callable[..., Attack] = ATTACKS[name]
        attack = fitted(victim, name, kind(epochs=epochs, width=width, **options), THREAT, targets)
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
                ball=victim.ap(victim.codes(attacked(victim, attack, THREAT, targets)), targets),
                wide=victim.ap(victim.codes(attacked(victim, attack, WIDE, targets)), targets),
                theory=victim.ap(goal.to(torch.int8), targets),
            ),
            "levels": float(change.mean()),
            "largest": float(change.amax(1).median()),
        }


def universal(victim: Victim, updates: int) -> Iterator[Row]:
    """One perturbation for each label alone, on all queries without it."""
    labels = torch.eye(victim.labels.shape[1])
    settings = [(radius, layers, updates) for radius in (8, 16) for layers in (1.0, 0.0)]
    for radius, layers, count in [*settings, (8, 1.0, 4 * updates)]:
        threat, kind = ThreatModel(radius / 255), SSTUAA(updates=count, layers=layers)
        attack = fitted(victim, "ss_tuaa", kind, threat, labels)
        own = victim.query_codes[: len(labels)]
        goals = attack.representatives(victim.knowledge, labels, own)
        found: dict[str, list[Tensor]] = {}
        for number, label in enumerate(labels):
            targets = label.expand(len(victim.labels), -1)
            others = labels[number - 1].expand(len(victim.labels), -1)
            moved, elsewhere = (
                victim.codes(attacked(victim, attack, threat, wanted))
                for wanted in (targets, others)
            )
            goal = goals[number].to(torch.int8).expand(len(targets), -1)
            without = (victim.labels @ label.to(victim.labels.dtype)) == 0
            for name, ap in {
                "t_ap": victim.ap(moved, targets),
                "clean": victim.ap(victim.query_codes, targets),
                "other": victim.ap(elsewhere, targets),
                "theory": victim.ap(goal, targets),
                "own": victim.ap(moved, victim.labels),
                "own_clean": victim.clean_ap,
            }.items():
                found.setdefault(name, []).append(ap[without])
        values = {name: torch.cat(parts) for name, parts in found.items()}
        yield {"radius": radius, "layers": layers, "updates": count, **_percent(**values)}
    # For every query a perturbation of its own, towards one of the labels that it lacks.
    lacking = torch.zeros_like(victim.labels)
    for row, own in enumerate(victim.labels):
        missing = (own == 0).nonzero().flatten()
        lacking[row, missing[row % len(missing)]] = 1
    best = ATTACKS["apgd_smoothap_targeted"]()
    for radius in (8, 16):
        found_images = attacked(victim, best, ThreatModel(radius / 255), lacking)
        ap = victim.ap(victim.codes(found_images), lacking)
        yield {"radius": radius, "attack": "for every query", **_percent(t_ap=ap)}


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


def measured(victim: Victim, part: str, chosen: argparse.Namespace) -> Iterator[Row]:
    """The rows of a part."""
    if part == "generators":
        return generators(victim, chosen.epochs, chosen.width)
    return universal(victim, chosen.updates) if part == "universal" else compared(victim, part)


def main() -> None:
    """Measure models and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parts = (*KINDS, "generators", "universal")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--queries", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=5, help="of every generator")
    parser.add_argument("--width", type=int, default=8, help="of every generator")
    parser.add_argument("--updates", type=int, default=100, help="of a universal perturbation")
    parser.add_argument("--output", type=Path, help="file that every row is added to, as JSON")
    chosen = parser.parse_args()
    data = saat.RetrievalData.named("digits", image_size=32, val_queries=300)
    for name in chosen.models:
        victim = Victim(trained(name, data), data, "test", TOP_K, limit=chosen.queries)
        for part in chosen.parts:
            for row in measured(victim, part, chosen):
                line = json.dumps({"model": name, "part": part, **row})
                print(line, flush=True)
                if chosen.output:
                    with chosen.output.open("a") as file:
                        file.write(line + "\n")


if __name__ == "__main__":
    main()
