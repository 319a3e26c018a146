"""A whole trial of a search beside a script in the style of the papers' code, on one core.

    python -m benchmarks.trial [--data LISTS] [--repeats 2] [--precision bf16]

Both train AlexNet with DPH and SAAT from the same lists of JPEG files of 500×375 pixels, with the
same epochs, steps, batches and queries, and attack the result. Ours is what a search starts:
:func:`harness.executors.executor.reports_of`. The other is :mod:`benchmarks.trial_plain`. Each run
is a process of its own, and the two take turns. Without ``--data`` the photographs are drawn.

Times are CPU seconds, of all threads, from the opening of the lists to the last result. Imports
are not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.measure import machine, peak_mebibytes
from benchmarks.trial_data import write_lists
from benchmarks.trial_plain import EPS, PlainNetwork, PlainTrial, Size
from saat import stopwatch
from saat.models import HashingNetwork
from saat.precision import PRECISIONS
from saat.stopwatch import Stage, Stopwatch

SIDES = ("ours", "plain")
_NO_STAGE = "other"


class Passes(NamedTuple):
    """Images that passed the network: forward, backward to images or weights, and to weights."""

    forward: int = 0
    backward: int = 0
    with_weights: int = 0


class Found(NamedTuple):
    """What one run took and gave.

    Attributes:
        cpu: seconds of all threads.
        wall: seconds.
        peak: most memory that the process ever had, MiB.
        stages: CPU seconds by stage.
        passes: by stage.
        maps: MAP of the clean queries and under every attack.
    """

    cpu: float
    wall: float
    peak: float
    stages: dict[str, float]
    passes: dict[str, Passes]
    maps: dict[str, float]


class Watch(Stopwatch):
    """The latest stopwatch of this process, which tells the stage that is running."""

    latest: ClassVar["Watch | None"] = None

    def __init__(self) -> None:
        super().__init__()
        Watch.latest = self

    @classmethod
    def running(cls) -> str:
        """Name of the innermost stage."""
        return cls.latest.open[-1] if cls.latest and cls.latest.open else _NO_STAGE


@contextmanager
def counting(passes: dict[str, Passes]) -> Iterator[None]:
    """Count all images that pass a hashing network, forward and backward, by stage."""

    def count(*added: int) -> None:
        name = Watch.running()
        before = passes.get(name, Passes())
        passes[name] = Passes(*(a + b for a, b in zip(before, added, strict=True)))

    def passed(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        if not isinstance(module, HashingNetwork | PlainNetwork):
            return
        images, with_weights = len(inputs[0]), next(module.parameters()).requires_grad
        count(images, 0, 0)
        if out.requires_grad:
            out.register_hook(lambda _: count(0, images, images * with_weights))

    handle = nn.modules.module.register_module_forward_hook(passed)
    try:
        yield
    finally:
        handle.remove()


def ours(folder: Path, work: Path, size: Size) -> tuple[dict[str, float], dict[str, float]]:
    """A trial as the inline executor of a search runs it: MAPs, and seconds by stage."""
    from harness.executors.executor import reports_of
    from harness.experiment.configs import config_at
    from harness.experiment.resolve import resolve_experiment
    from harness.trial.interface import TrialContext, TrialSpec

    experiment = resolve_experiment(experiment_of(folder, size), "trial.yaml")
    resources = experiment.resources.model_copy(update={"precision": size.precision})
    context = TrialContext(
        str(work / "run"), str(work / "pretrained"), str(work / "cache"), experiment.validation,
        experiment.evaluation, resources, "none", "cpu",
    )  # fmt: skip
    spec = TrialSpec("0" * 10 + "-explore-0", "explore", "default", 0, 0, config_at(experiment, {}))
    (work / "run").mkdir()
    *_, last = reports_of(spec, context)
    names = {"clean_map": "clean", "map.mainstay": "mainstay", "map.hag": "hag"}
    return {name: last.metrics[f"reattack/{key}"] for key, name in names.items()}, last.stages


def experiment_of(folder: Path, size: Size) -> dict[str, Any]:
    """The content of the experiment file; all that is not named here has its default."""
    return {
        "schema_version": 1,
        "name": "trial",
        "data": {"path": str(folder), "image_size": size.side, "val_queries": size.queries},
        "model": {"backbone": size.backbone, "bits": size.bits},
        "pretrain": {
            "epochs": size.pretrain_epochs, "lr": size.pretrain_lr, "batch_size": size.batch,
        },
        "defense": {
            "epochs": size.epochs, "lr": size.lr, "steps": size.inner_steps,
            "batch_size": size.batch,
        },
        "validation": {"steps": size.val_steps, "queries": size.queries, "eps": EPS},
        "evaluation": {"steps": size.steps, "eps": EPS, "top_k": size.searched},
        "space": {"defense.lambda": {"float": [0.1, 10.0], "log": True}},
    }  # fmt: skip


def plain(folder: Path, work: Path, size: Size) -> tuple[dict[str, float], dict[str, float]]:
    """The script."""
    watch = stopwatch.start()
    trial = PlainTrial(folder, work, size)
    return trial.run(), watch.lap()


def run_here(side: str, folder: Path, work: Path, size: Size) -> Found:
    """One run in this process."""
    torch.set_num_threads(1)
    passes: dict[str, Passes] = {}
    clock = SimpleNamespace(monotonic=time.process_time)
    with (
        mock.patch.object(stopwatch, "time", clock),
        mock.patch.object(stopwatch, "Stopwatch", Watch),
        counting(passes),
    ):
        cpu, wall = time.process_time(), time.perf_counter()
        maps, stages = (ours if side == "ours" else plain)(folder, work, size)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    stages = {**stages, _NO_STAGE: cpu - sum(stages.values())}
    return Found(cpu, wall, peak_mebibytes(), stages, passes, maps)


def run_apart(side: str, folder: Path, size: Size) -> Found:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "benchmarks.trial", "--side", side, str(folder), work]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        given = json.dumps(asdict(size))
        done = subprocess.run(
            command, input=given, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    found = Found(*json.loads(done.stdout.splitlines()[-1]))
    passes = {name: Passes(*values) for name, values in found.passes.items()}
    return found._replace(passes=passes)


def compared(folder: Path, size: Size, repeats: int) -> dict[str, list[Found]]:
    """Runs of both sides in turn."""
    found: dict[str, list[Found]] = {side: [] for side in SIDES}
    for number in range(repeats):
        for side, runs in found.items():
            runs.append(run_apart(side, folder, size))
            done = f"{side} {number + 1}/{repeats}: {runs[-1]._asdict()}"
            print(done, file=sys.stderr, flush=True)
    return found


def table(found: dict[str, list[Found]]) -> Iterator[str]:
    """Lines of Markdown: CPU seconds and passes by stage, then totals."""
    both = [found[side] for side in SIDES]
    yield (
        "| stage | ours, CPU s | plain, CPU s | ratio | ours, forward / backward / of weights "
        "| plain, the same |"
    )
    yield "|---|---:|---:|---:|---:|---:|"
    for name in (*Stage, _NO_STAGE):
        seconds = [statistics.median(run.stages.get(name, 0.0) for run in runs) for runs in both]
        if max(seconds) >= 0.05:
            passes = [runs[0].passes.get(name, Passes()) for runs in both]
            yield row(str(name), seconds, [" / ".join(f"{n:,}" for n in p) for p in passes])
    sums = [[sum(values) for values in zip(*runs[0].passes.values(), strict=True)] for runs in both]
    cpu = [statistics.median(run.cpu for run in runs) for runs in both]
    yield row("**trial**", cpu, [" / ".join(f"{n:,}" for n in total) for total in sums])
    yield ""
    for name in ("cpu", "wall", "peak"):
        texts = (", ".join(f"{getattr(run, name):.0f}" for run in runs) for runs in both)
        unit = "MiB" if name == "peak" else "s"
        yield f"- {name}, {unit}, of every run: ours {' plain '.join(texts)}"
    for name in both[0][0].maps:
        texts = (", ".join(f"{100 * run.maps[name]:.1f}" for run in runs) for runs in both)
        yield f"- MAP in %, {name}: ours {' plain '.join(texts)}"


def row(name: str, seconds: list[float], passes: list[str]) -> str:
    """A line of the table."""
    mine, other = seconds
    ratio = f"{other / mine:.2f}×" if min(seconds) >= 0.05 else ""
    return f"| {name} | {mine:.1f} | {other:.1f} | {ratio} | {' | '.join(passes)} |"


def main() -> None:
    """Print the table, or run one side for another process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of image lists to take photographs of")
    parser.add_argument("--repeats", type=int, default=2, help="runs of either side")
    parser.add_argument("--steps", type=int, default=Size.steps, help="T of the last attacks")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=Size.precision, help="of our trainings"
    )
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "LISTS", "WORK"))
    given = parser.parse_args()
    if given.side:
        side, folder, work = given.side
        found = run_here(side, Path(folder), Path(work), Size(**json.load(sys.stdin)))
        print(json.dumps(found))
        return
    size = replace(Size(), steps=given.steps, precision=given.precision)
    torch.set_num_threads(1)
    print(f"{machine()}\n{size}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        lists = Path(folder) / "lists"
        # Every data set must have test images; no trial of a search attacks them.
        database, test = size.searched + size.queries, size.queries
        write_lists(lists, size.train, database, test, size.classes, given.data)
        for line in table(compared(lists, size, given.repeats)):
            print(line)


if __name__ == "__main__":
    main()
