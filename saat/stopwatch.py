"""Where the time of a training goes: seconds by stage, each counted once."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum


class Stage(StrEnum):
    """What a trial spends its time on, in the order in which reports show it."""

    DECODE = "decode"  # opening the data; decoding where the node's cache has none
    WAITING_FOR_MODEL = "waiting_for_model"  # until another trial has pretrained it
    WAITING_FOR_DATA = "waiting_for_data"  # until the reading thread has the next batch
    PRETRAINING = "pretraining"
    INNER_PGD = "inner_pgd"
    OUTER_STEP = "outer_step"  # of a defense, with everything in its epoch that has no other stage
    ENCODE = "encode"  # features of training set, database and queries
    VALIDATION = "validation"
    REATTACK = "reattack"
    BATTERY = "battery"
    CHECKPOINT = "checkpoint"  # copying tensors, and waiting for the writer
    FILES = "files"  # the model and the other files of a finished trial


class Stopwatch:
    """Seconds of wall clock by stage, of one thread.

    A stage within another one stops the clock of the outer one, so that no second counts twice.

    On a GPU the clock is that of the host, which runs ahead: work that is only queued counts for
    the stage that later waits for its result. Nothing is synchronised for the clock. Every epoch,
    encoding and attack ends with such a wait, so their seconds are right. Of an epoch, inner PGD
    and outer step are right together; their shares tell when the host, not the GPU, was busy.

    Attributes:
        seconds: by stage, since the last lap.
        open: names of the stages that run, the innermost last.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.open: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block for a stage."""
        self._count()
        self.open.append(str(name))
        try:
            yield
        finally:
            self._count()
            self.open.pop()

    def add(self, name: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self.seconds[str(name)] = self.seconds.get(str(name), 0.0) + seconds

    def lap(self) -> dict[str, float]:
        """The seconds since the last call, by stage."""
        self._count()
        counted, self.seconds = self.seconds, {}
        return counted

    def _count(self) -> None:
        now = time.monotonic()
        if self.open:
            self.add(self.open[-1], now - self._since)
        self._since = now


def total(*laps: Mapping[str, float]) -> dict[str, float]:
    """The sum of several laps, by stage."""
    seconds: Counter[str] = Counter()
    for lap in laps:
        seconds.update(lap)
    return dict(seconds)


_running: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


def start() -> Stopwatch:
    """A new stopwatch, which :func:`stage` uses in this thread from now on."""
    watch = Stopwatch()
    _running.set(watch)
    return watch


def stage(name: Stage) -> AbstractContextManager[None]:
    """Count the time of a block for a stage of this thread's stopwatch, if it has one."""
    watch = _running.get()
    return watch.stage(name) if watch else nullcontext()
