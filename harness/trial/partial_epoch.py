"""Run the beginning of an epoch, to measure time and memory."""

from collections.abc import Callable
from contextlib import suppress

from saat.training import Training


class _Stopped(Exception):
    """Ends an epoch from inside its progress callback."""


def run_until(training: Training, enough: Callable[[int, int], bool]) -> None:
    """Run batches of an epoch, which does not count as finished, until ``enough`` is true.

    ``enough`` is called after every batch with (batches done, batches in all).
    """

    def progress(done: int, count: int) -> None:
        if enough(done, count):
            raise _Stopped

    with suppress(_Stopped):
        training.run_epoch(progress)
