"""What 100 and more classes cost, and what they do to MAP: ``python -m benchmarks.scaling``.

First kernels on random label lists of 10 to 1000 classes: mainstay codes by label groups against
the direct sum over the training set, and AP by histograms against a sort per query; then whole
trainings on ``digits`` (10 classes) and ``digits100`` (100 classes), whose images differ in nothing
but how their digits are read. Memory is the largest growth of the process during the work.
"""

import time
from collections.abc import Callable
from statistics import median

import torch

from benchmarks.kernels import BATCH, Rows, ap_works, mainstay_works
from benchmarks.measure import interleaved, peak_mebibytes
from saat.attacks import MainstayAttack
from saat.data import RetrievalData
from saat.defenses import SaatSettings, SaatTraining
from saat.hashing import OBJECTIVES
from saat.mainstay import MainstayCodes
from saat.models import build_network
from saat.pretrain import Pretraining, PretrainSettings
from saat.protocol import Protocol, evaluate

TRAIN, DATABASE, QUERIES = 10_000, 100_000, 64
CLASSES = (10, 38, 80, 100, 200, 500, 1000)
EPOCHS = {"pretrain": 12, "saat": 8}


def kernels(classes: int) -> str:
    """One line: milliseconds of ours and of the plain formula, and distinct label vectors."""
    drawn = torch.Generator().manual_seed(classes)
    rows = Rows.drawn(TRAIN, classes, 2.0, drawn)
    groups = len(rows.labels.unique(dim=0))
    started = time.perf_counter()
    MainstayCodes(rows.codes, rows.labels).of_rows(torch.arange(BATCH))  # makes the coefficients
    once = time.perf_counter() - started
    mainstay = interleaved(mainstay_works(rows), 3)
    query = Rows.drawn(QUERIES, classes, 2.0, drawn)
    ap = interleaved(ap_works(query, Rows.drawn(DATABASE, classes, 2.0, drawn)), 3)
    times = (f"{1000 * t:.1f}" for t in (once, *map(median, (*mainstay, *ap))))
    return f"| {classes} | {groups} | {' | '.join(times)} |"


def training(name: str) -> str:
    """One line: seconds and MAPs of a pretraining and of SAAT on an embedded set."""
    data = RetrievalData.named(name, image_size=32, val_queries=300)
    labels = data.label_tensor(data.train)
    network = build_network("small_cnn", "none", 32, 32, seed=0)
    objective = OBJECTIVES["dph"](labels, 32, 0)
    settings = PretrainSettings(epochs=EPOCHS["pretrain"], lr=0.3)
    pretrain = _timed(Pretraining(network, objective, data, settings, 0).run_epoch, settings.epochs)
    protocol = Protocol({"mainstay": MainstayAttack(steps=100, rescale=True)}, top_k=1000)
    before = evaluate(network, data, protocol).metrics()
    defense = SaatSettings(epochs=EPOCHS["saat"])
    saat = _timed(SaatTraining(network, objective, data, defense, 0).run_epoch, defense.epochs)
    after = evaluate(network, data, protocol).metrics()
    maps = [m[k] for m in (before, after) for k in ("clean_map", "robust_map")]
    cells = " | ".join(f"{100 * value:.1f}" for value in (*maps, after["chance_map"]))
    return f"| {name} | {data.classes} | {pretrain:.2f} | {saat:.2f} | {cells} |"


def _timed(epoch: Callable[[], object], epochs: int) -> float:
    """Seconds an epoch."""
    started = time.perf_counter()
    for _ in range(epochs):
        epoch()
    return (time.perf_counter() - started) / epochs


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one core, ms; {TRAIN} train, {DATABASE} database rows")
    print("| classes | label groups | first batch | batch of 32 | plain | AP of 64 | plain |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    start = peak_mebibytes()
    for classes in CLASSES:
        print(kernels(classes), flush=True)
    grown = peak_mebibytes() - start
    print(f"largest memory beyond the {start:.0f} MB at the start: {grown:.0f} MB\n")
    columns = "set classes s/epoch_pretrain s/epoch_SAAT clean robust SAAT_clean SAAT_robust chance"
    print(f"| {columns.replace(' ', ' | ').replace('_', ' ')} |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in ("digits", "digits100"):
        print(training(name), flush=True)


if __name__ == "__main__":
    main()
