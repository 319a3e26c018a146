"""What validation on a part of the database changes, and what it costs.

    python -m benchmarks.validation LISTS

``LISTS`` is a folder with ``FLICKR-25K`` and ``NUS-WIDE``, each with ``train_label.txt`` and
``test_label.txt``, and ``database_label.txt`` where it has one. Where a set has none, as many
label vectors as it has in the papers are drawn from its two lists.

Three parts, each a table of docs/results/validation.md:

- codes made of labels and noise: MAP over a part against MAP over the whole database;
- small networks trained on the digits: the same, and what the attack takes its knowledge from;
- forward passes of one image (F) of an epoch and of its validation, as ``--dry-run`` counts them.
"""

import argparse
import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from harness.experiment.protocols import validation_protocol, validation_top_k
from harness.experiment.resolve import resolve_experiment
from harness.experiment.sections import EvaluationSection, ValidationSection
from harness.session.sizes import DataSizes
from harness.session.trial_costs import TrialCosts
from saat.attack_runner import AttackRunner
from saat.codes import sign
from saat.data import RetrievalData
from saat.defenses import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES
from saat.models import build_network, encode
from saat.pretrain import Pretraining, PretrainSettings
from saat.protocol import evaluate, validate
from saat.retrieval import Database
from saat.threat_model import ThreatModel
from saat.victim import Victim

BITS, TOP_K, QUERIES = 32, 5000, 200
PARTS = (2000, 5000, 20_000)
NOISE = np.geomspace(0.4, 4, 12)  # standard deviation beside embeddings of unit variance
SEEDS = 3
ROWS = {"FLICKR-25K": 23_300, "NUS-WIDE": 193_734}
DIGITS_PART, DIGITS_TOP_K = 500, 1000
LAMBDAS, DIGITS_SEEDS, DIGITS_EPOCHS = (0.1, 1.0, 3.0, 10.0), 2, 4
NUS_TRAIN, NUS_TEST, NUS_QUERIES = 10_500, 2100, (200, 500)


class Set(NamedTuple):
    """0/1 labels: of the database (N, C), and of queries (Q, C)."""

    name: str
    database: Tensor
    queries: Tensor


def read_set(folder: Path) -> Set:
    """A set of ``LISTS``."""
    name, rng = folder.name, np.random.default_rng(0)
    test = np.loadtxt(folder / "test_label.txt", dtype=np.uint8)
    queries = test[rng.permutation(len(test))[:QUERIES]]
    if (folder / "database_label.txt").exists():
        database = np.loadtxt(folder / "database_label.txt", dtype=np.uint8)
    else:
        known = np.concatenate([np.loadtxt(folder / "train_label.txt", dtype=np.uint8), test])
        database = known[rng.integers(len(known), size=ROWS[name])]
    return Set(name, torch.from_numpy(database), torch.from_numpy(queries))


def noisy_codes(labels: Tensor, embedding: Tensor, noise: float, drawn: torch.Generator) -> Tensor:
    """±1 codes (N, K) of labels (N, C): the sign of their embedding and noise."""
    mean = labels.float() @ embedding / labels.sum(1, keepdim=True).clamp(min=1).sqrt()
    return sign(mean + noise * torch.randn(mean.shape, generator=drawn))


def compared(whole: list[float], part: list[float]) -> str:
    """Cells: mean and standard deviation of the differences in points, the largest, Kendall's τ."""
    change = 100 * (np.array(part) - np.array(whole))
    tau = kendalltau(whole, part).statistic
    return f"{change.mean():+.2f} | {change.std():.2f} | {np.abs(change).max():.2f} | {tau:.3f}"


def population(labels: Set) -> Iterator[str]:
    """Lines of a table: MAP of 12 levels of noise under 3 seeds, over a part and over all."""
    count = len(labels.database)
    order = torch.from_numpy(np.random.default_rng(1).permutation(count))
    depths = {
        (rows, kind): min(TOP_K, rows) if kind == "fixed" else validation_top_k(TOP_K, rows, count)
        for rows in PARTS
        for kind in ("fixed", "scaled")
    }
    found: dict[object, list[float]] = {key: [] for key in ("whole", *depths)}
    for seed in range(SEEDS):
        drawn = torch.Generator().manual_seed(seed)
        embedding = torch.randn(labels.database.shape[1], BITS, generator=drawn)
        for noise in NOISE:
            codes = noisy_codes(labels.database, embedding, float(noise), drawn)
            query = noisy_codes(labels.queries, embedding, float(noise), drawn), labels.queries
            everything = Database(codes, labels.database)
            found["whole"].append(float(everything.average_precision(*query, TOP_K).mean()))
            for rows in PARTS:
                kept = order[:rows].sort().values
                part = Database(codes[kept], labels.database[kept])
                for kind in ("fixed", "scaled"):
                    ap = part.average_precision(*query, depths[rows, kind])
                    found[rows, kind].append(float(ap.mean()))
    for (rows, kind), depth in depths.items():
        cells = compared(found["whole"], found[rows, kind])
        yield f"| {labels.name} | {rows:,} | {kind}, {depth} | {cells} |"
    low, high = (100 * value for value in (min(found["whole"]), max(found["whole"])))
    yield f"{labels.name}: {len(found['whole'])} models, MAP {low:.1f} to {high:.1f}"


def trained(data: RetrievalData) -> Iterator[tuple[SaatTraining, Tensor]]:
    """Small networks after SAAT, and the |features| (N, K) of every row's last visit."""
    labels = data.label_tensor(data.train)
    for seed in range(DIGITS_SEEDS):
        start = build_network("small_cnn", "none", BITS, data.image_size, seed)
        objective = OBJECTIVES["dph"](labels, BITS, seed)
        pretraining = Pretraining(start, objective, data, PretrainSettings(epochs=12, lr=0.3), seed)
        while not pretraining.finished:
            pretraining.run_epoch()
        for weight in LAMBDAS:
            settings = SaatSettings(epochs=DIGITS_EPOCHS, lambda_=weight, step_size="auto")
            models = copy.deepcopy(start), OBJECTIVES["dph"](labels, BITS, seed)
            training = SaatTraining(*models, data, settings, seed)
            visited = torch.zeros(len(labels), BITS)

            def keep(_: nn.Module, given: tuple[Tensor, Tensor, Tensor], __: object) -> None:
                visited[given[2]] = given[0].detach().abs()  # noqa: B023

            training.objective.register_forward_hook(keep)
            while not training.finished:
                training.run_epoch()
            yield training, visited


def digits() -> Iterator[str]:
    """Lines of two tables: the part, and the knowledge of the attack."""
    data = RetrievalData.named("digits", image_size=32, val_queries=300)
    count = len(data.validation_database)
    evaluation = EvaluationSection(top_k=DIGITS_TOP_K)
    short = ValidationSection(database=DIGITS_PART)
    scaled = validation_protocol(short, evaluation, count)
    fixed = replace(scaled, top_k=min(DIGITS_TOP_K, DIGITS_PART))
    whole = validation_protocol(ValidationSection(), evaluation, count)
    part = data.validation_part(DIGITS_PART)
    maps: dict[str, list[tuple[float, float]]] = {"whole": [], "fixed": [], "scaled": []}
    robust: dict[str, list[float]] = {}
    other_bits = []
    for training, visited in trained(data):
        network, codes = training.network, training.train_codes()
        assert codes is not None
        measured = {
            "whole": evaluate(network, data, whole, "validation", limit=QUERIES),
            "fixed": validate(network, data, fixed, part, codes, limit=QUERIES),
            "scaled": validate(network, data, scaled, part, codes, limit=QUERIES),
        }
        for name, found in measured.items():
            maps[name].append((float(found.clean_ap.mean()), float(found.worst_ap.mean())))
        fresh = training.train_features()
        other_bits.append(float((sign(fresh) != codes).float().mean()))
        victim = Victim(network, data, "validation", whole.top_k, limit=QUERIES)
        anew = victim.knowledge
        of_part = encode(network, lambda rows: data.batch(part[rows]), len(part))
        last_visit = replace(anew, train_codes=codes)
        for name, knowledge in {
            "codes and scale computed anew": anew,
            "codes of the last visit, scale anew": last_visit,
            "codes of the last visit, scale of the part": replace(
                last_visit, feature_scale=of_part.abs().median(0).values
            ),
            "codes of the last visit, scale recorded": replace(
                last_visit, feature_scale=visited.median(0).values
            ),
        }.items():
            victim.knowledge = knowledge
            attack = whole.attacks["mainstay"]
            ap = AttackRunner(ThreatModel(whole.eps)).attack(victim, "mainstay", attack).ap
            robust.setdefault(name, []).append(float(ap.minimum(victim.clean_ap).mean()))
    for name, depth in (("fixed", fixed.top_k), ("scaled", scaled.top_k)):
        for column, kind in enumerate(("clean", "robust")):
            values = ([pair[column] for pair in maps[key]] for key in ("whole", name))
            yield f"| digits, {kind} | {DIGITS_PART} | {name}, {depth} | {compared(*values)} |"
    first, *others = robust
    for name in others:
        yield f"| {name} | {compared(robust[first], robust[name])} |"
    for column, kind in enumerate(("clean", "robust")):
        percents = [100 * pair[column] for pair in maps["whole"]]
        ends = f"{min(percents):.1f} to {max(percents):.1f}"
        yield f"digits: {len(percents)} models, {kind} MAP {ends}"
    yield f"bits of the last visit that differ: {100 * np.mean(other_bits):.2f} %"


def costs() -> Iterator[str]:
    """Lines of a table: F of validation at NUS-WIDE's size as a share of an epoch of SAAT."""
    database, queries = ROWS["NUS-WIDE"], max(NUS_QUERIES)
    sizes = DataSizes(
        NUS_TRAIN, database, database - queries, queries, NUS_TEST, database + NUS_TEST, NUS_TRAIN
    )
    ways = {
        "whole database, training set encoded": ("all", "saat"),
        "20,000 rows, other training rows encoded": ("auto", "crdat"),  # which keeps no codes
        "20,000 rows, codes of the last visit": ("auto", "saat"),
    }
    for taken, (name, (searched, method)) in product(NUS_QUERIES, ways.items()):
        content = {
            "schema_version": 1, "name": "costs", "space": {}, "defense": {"method": method},
            "data": {"name": "digits", "val_queries": queries},
            "validation": {"database": searched, "queries": taken},
        }  # fmt: skip
        found = resolve_experiment(content, "costs")
        counted = TrialCosts(found, sizes)
        if method == "saat":
            epoch = counted.training(found.config, 0, 1).passes
        passes = counted.validation(found.config).passes
        yield f"| {taken} | {name} | {passes:,.0f} | {100 * passes / epoch:.1f} % |"
    yield f"an epoch of SAAT: {epoch:,.0f} F, {epoch / NUS_TRAIN:.1f} a training image"


def main() -> None:
    """Print all tables; they take some minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lists", type=Path, metavar="LISTS", help="folder of label lists")
    lists = parser.parse_args().lists
    torch.set_num_threads(1)
    for line in costs():
        print(line, flush=True)
    for name in ROWS:
        for line in population(read_set(lists / name)):
            print(line, flush=True)
    for line in digits():
        print(line, flush=True)


if __name__ == "__main__":
    main()
