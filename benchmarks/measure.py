"""Two ways of the same work in one run: medians, spread and ratio, as rows of a Markdown table."""

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

Work = Callable[[], object]

HEADER = (
    "| work | ours, ms | spread | plain, ms | spread | ratio |",
    "|---|---:|---:|---:|---:|---:|",
)


def interleaved(
    works: Sequence[Work], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Sorted seconds of each call, taken in turn after one round that is not counted.

    In turn, because other work on the machine then slows all of them.
    """
    times: list[list[float]] = [[] for _ in works]
    for number in range(repeats + 1):
        for work, found in zip(works, times, strict=True):
            started = clock()
            work()
            if number:
                found.append(clock() - started)
    return [sorted(found) for found in times]


def row(work: str, ours: Work, plain: Work, repeats: int = 5, units: int = 1) -> str:
    """A line of the table; a call does ``units`` of what ``work`` names."""
    both = interleaved((ours, plain), repeats)
    medians = [statistics.median(times) for times in both]
    cells = (
        f"{_ms(median, units)} | {_ms(times[0], units)}–{_ms(times[-1], units)}"
        for median, times in zip(medians, both, strict=True)
    )
    return f"| {work} | {' | '.join(cells)} | {medians[1] / medians[0]:.1f}× |"


def machine() -> str:
    """What was measured on, and when."""
    return (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s), "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


def peak_mebibytes() -> float:
    """Most memory that the process ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def status_bytes(field: str) -> int:
    """``VmRSS``, the memory of this process now, or ``VmHWM``, its largest (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def _ms(seconds: float, units: int) -> str:
    return f"{1000 * seconds / units:.3g}"
