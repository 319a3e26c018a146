"""Two ways of the same work in one run: medians, spread and ratio, as rows of a Markdown table."""

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch

Work = Callable[[], object]

HEADER = (
    "| work | ours, ms | spread | plain, ms | spread | ratio |",
    "|---|---:|---:|---:|---:|---:|",
)


class Seconds(NamedTuple):
    """Of several calls: the median, the lowest and the highest."""

    median: float
    low: float
    high: float


def compared(ours: Work, plain: Work, repeats: int = 5) -> tuple[Seconds, Seconds]:
    """Seconds of a call of either, taken in turn after one call that is not counted.

    In turn, because other work on the machine then slows both.
    """
    times: tuple[list[float], list[float]] = ([], [])
    ours()
    plain()
    for _ in range(repeats):
        for work, found in zip((ours, plain), times, strict=True):
            started = time.perf_counter()
            work()
            found.append(time.perf_counter() - started)
    first, second = (Seconds(statistics.median(t), min(t), max(t)) for t in times)
    return first, second


def row(work: str, ours: Work, plain: Work, repeats: int = 5, units: int = 1) -> str:
    """A line of the table; a call does ``units`` of what ``work`` names."""
    both = compared(ours, plain, repeats)
    cells = (f"{_ms(s.median, units)} | {_ms(s.low, units)}–{_ms(s.high, units)}" for s in both)
    return f"| {work} | {' | '.join(cells)} | {both[1].median / both[0].median:.1f}× |"


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
