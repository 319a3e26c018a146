"""What a GPU makes of our work, in one command: ``python -m benchmarks.gpu -o FILE.md``.

Seconds and FLOP/s of PGD steps, SAAT steps, attacks and encoding in each precision, eager and as a
CUDA graph, beside the rates that large matrix products reach on the same device. Needs `saat`,
torch and torchvision alone. Images and weights are random.
"""

import argparse
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from benchmarks import gpu_work
from benchmarks.gpu_work import REPEATS, SETTINGS, TOY, Sizes, flops
from saat.errors import InputError, one_line
from saat.memory import release
from saat.precision import PRECISIONS, Precision, check_precision, computing, default_precision

HEADER = (
    "| work | precision | ms | lowest – highest | TFLOP/s | of the floor | rate |",
    "|---|---|---:|---:|---:|---:|---:|",
)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        work: what is measured, and the unit that seconds are given for.
        precision: what it computes in.
        measure: seconds of a unit in each of several measurements.
        flops: floating-point operations in a unit; 0 where they are not what it is about.
        rate: how many things a unit has, and their name per second.
        floor: whether its FLOP/s are those that others are compared with.
    """

    work: str
    precision: Precision
    measure: Callable[[], list[float]]
    flops: float = 0.0
    rate: tuple[float, str] | None = None
    floor: bool = False


def floors(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """Large matrix products and a copy: hardly anything on the device reaches higher rates."""
    for precision in PRECISIONS:
        for side in sizes.products:
            measure = partial(gpu_work.product, side, precision, device, sizes.seconds)
            yield Row(f"product of {side}³", precision, measure, 2.0 * side**3, floor=True)
    measure = partial(gpu_work.copy, sizes.copied, device, sizes.seconds)
    # Every byte is read and written.
    rate = 2 * sizes.copied / 1e9, "GB/s"
    yield Row(f"copy of {sizes.copied / 1024**2:.0f} MiB", "fp32", measure, rate=rate)


def training_rows(sizes: Sizes, device: torch.device, graphed: bool) -> Iterator[Row]:
    """PGD steps and whole SAAT steps of every network in every precision."""
    how = "CUDA graph" if graphed else "eager"
    for backbone in sizes.backbones:
        counted = flops(backbone, sizes.pixels)
        attacked = sizes.batch * counted.attack
        whole = SETTINGS.steps * attacked + 2 * sizes.batch * counted.training
        for precision in PRECISIONS:
            given = sizes, backbone, device, graphed
            measure = partial(gpu_work.pgd_step, *given)
            yield Row(f"PGD step, {backbone}, {how}", precision, measure, attacked)
            measure, rate = partial(gpu_work.saat_step, *given), (sizes.batch, "images/s")
            yield Row(f"SAAT step, {backbone}, {how}", precision, measure, whole, rate)


def evaluation_rows(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """An attack, and the encoding of images."""
    first, last = sizes.backbones[0], sizes.backbones[-1]
    for precision in PRECISIONS:
        measure = partial(gpu_work.attack, sizes, first, device)
        count = sizes.attack_steps * flops(first, sizes.pixels).attack
        work = f"attack of a query, T = {sizes.attack_steps}, {first}"
        yield Row(work, precision, measure, count, (1, "queries/s"))
    precision = default_precision(device)
    for backbone in dict.fromkeys((first, last)):
        measure = partial(gpu_work.encoding, sizes, backbone, device)
        forward = flops(backbone, sizes.pixels).forward
        yield Row(f"encoding an image, {backbone}", precision, measure, forward, (1, "images/s"))


def process_rows(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """SAAT steps of one process, and of two that share the device."""
    precision, backbone = default_precision(device), sizes.backbones[0]
    counted = flops(backbone, sizes.pixels)
    step = sizes.batch * (SETTINGS.steps * counted.attack + 2 * counted.training)
    for processes in (1, 2):
        measure = partial(gpu_work.trials, sizes, backbone, device, precision, processes)
        work = f"SAAT step, {backbone}, eager, trials on the device: {processes}"
        rate = processes, "steps/s together"
        yield Row(work, precision, measure, processes * step, rate)


def all_rows(sizes: Sizes, device: torch.device) -> Iterator[Row]:
    """The table from top to bottom; a failed capture could only harm graphs and the end."""
    yield from floors(sizes, device)
    yield from training_rows(sizes, device, graphed=False)
    yield from evaluation_rows(sizes, device)
    yield from training_rows(sizes, device, graphed=True)
    yield from process_rows(sizes, device)


class Table:
    """Measures rows until the time is up.

    Args:
        device: what is measured.
        seconds: a row begins only if the longest one so far would still end within them.
    """

    def __init__(self, device: torch.device, seconds: float) -> None:
        self._device = device
        self._end = time.monotonic() + seconds
        self._longest = 0.0
        self._floors: dict[Precision, float] = {}
        self.failures = 0

    def line(self, row: Row) -> str:
        """The row in Markdown: its numbers, or why there are none."""
        started = time.monotonic()
        if started + self._longest > self._end:
            return self._without(row, "not measured (time)")
        try:
            check_precision(row.precision, self._device)
            with computing(row.precision, self._device):
                times = row.measure()
        except InputError as error:
            return self._without(row, f"not measured ({error})")
        except Exception as error:  # the other rows are still worth their time
            self.failures += 1
            return self._without(row, f"failed ({type(error).__name__}: {one_line(error, 200)})")
        finally:
            release()
            self._longest = max(self._longest, time.monotonic() - started)
        return self._with(row, times)

    def _without(self, row: Row, reason: str) -> str:
        return f"| {row.work} | {row.precision} | {reason.replace('|', '/')} | | | | |"

    def _with(self, row: Row, times: list[float]) -> str:
        median = statistics.median(times)
        speed = row.flops / median
        if row.floor:
            self._floors[row.precision] = max(self._floors.get(row.precision, 0.0), speed)
        floor = self._floors.get(row.precision)
        share = f"{100 * speed / floor:.1f} %" if floor and row.flops else ""
        tera = f"{speed / 1e12:.3g}" if row.flops else ""
        rate = _rate(row.rate[0] / median, row.rate[1]) if row.rate else ""
        spread = f"{1e3 * min(times):.4g} – {1e3 * max(times):.4g}"
        cells = row.work, row.precision, f"{1e3 * median:.4g}", spread, tera, share, rate
        return f"| {' | '.join(cells)} |"


def _rate(number: float, unit: str) -> str:
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def machine(device: torch.device, command: str) -> Iterator[str]:
    """What was measured where, in lines of Markdown."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    python, cudnn = platform.python_version(), torch.backends.cudnn
    yield f"- device: {device} ({gpu})"
    yield f"- machine: {platform.platform()}, {os.cpu_count()} CPU cores, Python {python}"
    yield f"- torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn.version()}"
    yield f"- command: `{command}`"
    yield f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def notes(sizes: Sizes) -> Iterator[str]:
    """How to read the table, in lines of Markdown."""
    yield (
        f"- Times are medians of at least {REPEATS} measurements of at least "
        f"{1e3 * sizes.seconds:.0f} ms each, after a first call that chooses kernels."
    )
    yield (
        "- The floor is the time that the FLOPs take at the rate of the fastest matrix product "
        "of that precision measured so far; the column says its share of the measured time."
    )
    yield (
        f"- A SAAT step is {SETTINGS.steps} PGD steps on {sizes.batch} images, and one training "
        f"step on these and the attacked ones. Images have {sizes.pixels} pixels a side."
    )
    yield (
        "- FLOPs are counted from shapes by `torch.utils.flop_counter` (convolutions and products; "
        "a multiplication and an addition are two). GFLOP per image:"
    )
    yield ""
    yield "| network | forward | forward and to the input | forward and to the weights |"
    yield "|---|---:|---:|---:|"
    for backbone in sizes.backbones:
        cells = (f"{count / 1e9:.3g}" for count in flops(backbone, sizes.pixels))
        yield f"| {backbone} | {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 if a row failed."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="cuda by default, with --toy cpu")
    parser.add_argument("--toy", action="store_true", help="tiny sizes, for any machine")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit (default 8)")
    parser.add_argument("-o", dest="output", type=Path, help="write the table to this file too")
    options = parser.parse_args(given)
    device = torch.device(options.device or ("cpu" if options.toy else "cuda"))
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"--device {device}: no GPU is there; --toy runs on the CPU")
    if options.output and not options.output.parent.is_dir():
        parser.error(f"-o {options.output}: no such folder")
    sizes = TOY if options.toy else Sizes()
    gpu_work.one_thread_on(device)
    table = Table(device, 60 * options.minutes)
    with ExitStack() as stack:
        file = stack.enter_context(options.output.open("w")) if options.output else None

        def say(line: str) -> None:
            for target in filter(None, (sys.stdout, file)):
                print(line, file=target, flush=True)

        for line in (*machine(device, f"{parser.prog} {shlex.join(given)}"), "", *HEADER):
            say(line)
        for row in all_rows(sizes, device):
            say(table.line(row))
        for line in ("", *notes(sizes)):
            say(line)
    return 1 if table.failures else 0


if __name__ == "__main__":
    sys.exit(main())
