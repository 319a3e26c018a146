"""Memory of a trial with 100,000 training images: ``python -m benchmarks.memory``.

A process runs a whole trial of tiny images: an epoch of pretraining, one of SAAT, validation, the
protocol on test queries, and the battery ``core``. Of each epoch only the first batches are
trained, which need as much memory as all. The table has the largest memory of the process in each
stage, beyond what it had before: libraries (a smaller trial has loaded them all), images and
labels. A second table has what a process grows by while attacks find the codes that they are aimed
by.

``--labels`` is a folder with ``train_label.txt`` and ``test_label.txt``, such as the published
lists; the rows of training set, database and queries are drawn from them. Without it label vectors
are drawn at random, with as many classes and labels an image as MS-COCO has; more of them differ.

Linux only: the kernel keeps the peak of a process, and begins a new one when it is told to.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.kernels import BITS, SETS, Rows
from benchmarks.measure import status_bytes
from harness.executors.executor import reports_of
from harness.experiment.config import Experiment
from harness.experiment.resolve import resolve_experiment
from harness.options import Options
from harness.session.session import trial_context
from harness.trial import stages
from harness.trial.interface import TrialSpec
from saat import stopwatch, training
from saat.attacks import ATTACKS, Knowledge
from saat.codes import sign
from saat.data import RetrievalData
from saat.labels import draw_target_labels

IMAGE_SIZE = 16
MEBIBYTE = 2**20
# Attacks that compare queries with all label vectors.
AIMED = ("mainstay", "sdha", "multi_target", "p2p", "dhta")


class Sizes(NamedTuple):
    """Numbers of rows, and of batches that are trained in an epoch."""

    train: int = 100_000
    database: int = 117_218
    validation: int = 300  # queries; they are rows of the database
    test: int = 5000
    batches: int = 60


def experiment(sizes: Sizes) -> Experiment:
    """The defaults, but one epoch of everything and few steps."""
    raw: dict[str, Any] = {
        "schema_version": 1,
        "name": "memory",
        # Its place is taken by the images of this benchmark.
        "data": {"name": "digits_mini", "image_size": IMAGE_SIZE, "val_queries": sizes.validation},
        "pretrain": {"epochs": 1},
        "defense": {"epochs": 1, "steps": 1},
        "evaluation": {"steps": 2, "top_k": min(5000, sizes.database // 2)},
        "validation": {"steps": 1, "queries": min(200, sizes.validation)},
        "confirm": {"battery": "core"},
    }
    return resolve_experiment(raw, "memory")


def drawn_labels(sizes: Sizes, lists: Path | None) -> np.ndarray:
    """uint8 0/1 (database + test, C): from lists, or at random with MS-COCO's statistics."""
    rows = sizes.database + sizes.test
    if lists is None:
        _, _, classes, mean = SETS["MS-COCO"]
        drawn = Rows.drawn(rows, classes, mean, torch.Generator().manual_seed(0))
        return drawn.labels.numpy().astype(np.uint8)
    files = [lists / f"{split}_label.txt" for split in ("train", "test")]
    known = np.concatenate([np.loadtxt(file, dtype=np.uint8) for file in files])
    return known[np.random.default_rng(0).integers(len(known), size=rows)]


def data_of(labels: np.ndarray, sizes: Sizes) -> RetrievalData:
    """Random images with these labels; the training set begins the database, as published."""
    rng, rows = np.random.default_rng(1), np.arange(len(labels))
    images = rng.integers(0, 256, (len(labels), 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    database, test = np.split(rows, [sizes.database])
    validation = database[-sizes.validation :]
    return RetrievalData(
        "memory", images, labels, database[: sizes.train], database, validation, test, "memory", {}
    )


def new_peak() -> None:
    """From now on ``VmHWM`` is the largest memory after this call."""
    Path("/proc/self/clear_refs").write_text("5")


class PeakWatch(stopwatch.Stopwatch):
    """A stopwatch that also keeps the largest memory of the process in each stage, in bytes.

    Within validation, re-attack and battery, encoding counts for those.
    """

    peaks: dict[str, int] = {}  # noqa: RUF012

    def _count(self) -> None:
        super()._count()
        last = self.open[-1] if self.open else "other"
        own = self.open[-2] if last == stopwatch.Stage.ENCODE and self.open[1:] else last
        self.peaks[own] = max(self.peaks.get(own, 0), status_bytes("VmHWM"))
        new_peak()


def run_whole(wanted: Experiment, data: RetrievalData, folder: Path) -> None:
    """Run one confirmation in this process, on ``data``, below ``folder``."""
    key = (wanted.config.data.model_dump_json(), str(folder))
    stages.OPENED.clear()
    stages.OPENED[key] = data
    run_dir = folder / f"run-{len(data.train)}"
    options = Options(folder / f"runs-{len(data.train)}", executor="inline", cache_dir=str(folder))
    context = trial_context(wanted, options, run_dir, "cpu", data.fingerprint)
    spec = TrialSpec("0000000000-confirm-0", "confirm", "recommended", 0, 0, wanted.config)
    for _ in reports_of(spec, context):
        pass


def train_few_batches(count: int) -> None:
    """From now on an epoch of this process ends after ``count`` batches."""
    every = training.split_into_batches
    vars(training)["split_into_batches"] = lambda order, size: every(order, size)[:count]


def measured(labels: np.ndarray, sizes: Sizes, folder: Path) -> tuple[int, dict[str, int]]:
    """Bytes of this process before the trial, and at most in each stage of it."""
    small = Sizes(200, 300, 40, 40, 2)
    train_few_batches(sizes.batches)
    few = np.concatenate([labels[: small.database], labels[-small.test :]])
    run_whole(experiment(small), data_of(few, small), folder)
    data = data_of(labels, sizes)
    before = status_bytes("VmRSS")
    new_peak()
    vars(stopwatch)["Stopwatch"] = PeakWatch
    run_whole(experiment(sizes), data, folder)
    return before, PeakWatch.peaks


def aimed(labels: np.ndarray, sizes: Sizes) -> dict[str, int]:
    """Bytes that this process grows by at most while attacks find the codes that they are aimed by.

    With ``test`` queries and random codes; ``targets`` are the target labels of targeted attacks.
    """
    draws, given = torch.Generator().manual_seed(2), torch.from_numpy(labels)
    codes = sign(torch.randn(len(labels), BITS, generator=draws))
    train, database = slice(0, sizes.train), slice(0, sizes.database)
    known = Knowledge.of(codes[train], given[train], (codes[database].char(), given[database]))
    queries = given[sizes.database :], codes[sizes.database :]
    finders: dict[str, Callable[[], object]] = {
        "targets": lambda: draw_target_labels(queries[0], given[database], draws)
    }
    for name in AIMED:
        finders[name] = partial(ATTACKS[name]().representatives, known, *queries)
    grown = {}
    for name, find in finders.items():
        before = status_bytes("VmRSS")
        new_peak()
        find()
        grown[name] = status_bytes("VmHWM") - before
    return grown


def trial_table(labels: np.ndarray, sizes: Sizes, folder: Path) -> Iterator[str]:
    """MiB of every stage beyond those before the trial, and the largest."""
    before, peaks = measured(labels, sizes, folder)
    distinct = len(np.unique(labels[: sizes.train], axis=0))
    yield (
        f"{sizes.train} training rows with {distinct} distinct label vectors, {sizes.database} "
        f"database rows, {sizes.test} test queries; {before / MEBIBYTE:.0f} MiB before the trial"
    )
    yield "\n| stage | MiB more |\n|---|---:|"
    for name, peak in {**peaks, "largest": max(peaks.values())}.items():
        yield f"| {name} | {(peak - before) / MEBIBYTE:.0f} |"


def aimed_table(labels: np.ndarray, sizes: Sizes, folder: Path) -> Iterator[str]:
    """MiB of the codes that each attack is aimed by."""
    del folder
    yield f"\n| codes that attacks on {sizes.test} queries are aimed by | MiB more |\n|---|---:|"
    for name, grown in aimed(labels, sizes).items():
        yield f"| {name} | {grown / MEBIBYTE:.0f} |"


TABLES = {"trial": trial_table, "aimed": aimed_table}


def main() -> None:
    """Print both tables, each measured in a process of its own."""
    default = Sizes()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="folder of label lists")
    for name, value in default._asdict().items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--inside", nargs=2, metavar=("TABLE", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = Sizes(*(getattr(args, name) for name in Sizes._fields))
    if args.inside is not None:
        inside = Path(args.inside[1])
        labels = np.load(inside / "labels.npy", allow_pickle=False)
        for line in TABLES[args.inside[0]](labels, sizes, inside):
            print(line, flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="saat-memory-") as folder:
        np.save(Path(folder) / "labels.npy", drawn_labels(sizes, args.labels))
        given = [f"--{name}={value}" for name, value in sizes._asdict().items()]
        command = [sys.executable, "-m", "benchmarks.memory", *given, "--inside"]
        for name in TABLES:
            subprocess.run([*command, name, folder], check=True)


if __name__ == "__main__":
    main()
