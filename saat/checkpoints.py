"""Checkpoints of a training stage: where they are kept, and which one is restored."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from saat import tensor_file
from saat.errors import one_line
from saat.stopwatch import Stage, stage
from saat.tensor_file import CorruptFile
from saat.training import Training

log = logging.getLogger(__name__)

_FILES = "epoch-*.safetensors"
_KEPT = 2  # if the newest is damaged, the stage goes on from the one before


def folder_of(trial_folder: Path) -> Path:
    """The folder of a trial's checkpoints."""
    return trial_folder / "checkpoint"


def newest(folder: Path) -> Path | None:
    """The checkpoint of the last epoch; None where there is none."""
    return max(folder.glob(_FILES), default=None)


def write(folder: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Save the state of a finished epoch durably, then drop all but the newest two."""
    tensor_file.save(folder / f"epoch-{meta['epoch']:05d}.safetensors", tensors, meta)
    for old in sorted(folder.glob(_FILES))[:-_KEPT]:
        old.unlink()


class CheckpointWriter:
    """Writes checkpoints of a stage beside its training, in a ``with`` block.

    After every epoch call :meth:`finish_epoch`, report the epoch, and call :meth:`go_on`. Between
    the two nothing is being written, so whoever ends the stage then may delete its checkpoints.

    A checkpoint is written after the first epoch that ends so many ``seconds`` after the last one
    was begun. 0: every epoch is durable before it is reported. ``check`` is called before each
    write, in the thread that writes.
    """

    def __init__(self, folder: Path, seconds: float, check: Callable[[], None]) -> None:
        self._folder, self._seconds, self._check = folder, seconds, check
        self._thread = ThreadPoolExecutor(1, "saat-checkpoint")
        self._writing: Future[None] | None = None
        self._since = time.monotonic()

    def __enter__(self) -> "CheckpointWriter":
        return self

    def finish_epoch(self, training: Training, meta: dict[str, Any]) -> None:
        """Wait for the writer; the last epoch is durable then, and with 0 seconds every one.

        An ``OSError`` where the disk is full.
        """
        with stage(Stage.CHECKPOINT):
            self._wait()
            if training.finished or not self._seconds:
                self._save(*training.state(meta))

    def go_on(self, training: Training, meta: dict[str, Any]) -> None:
        """Begin a checkpoint of the finished epoch, if it is time for one."""
        due = self._seconds and time.monotonic() - self._since >= self._seconds
        if training.finished or not due:
            return
        with stage(Stage.CHECKPOINT):
            tensors, complete = training.state(meta)
            self._since = time.monotonic()
            self._writing = self._thread.submit(self._save, tensor_file.copies(tensors), complete)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Wait for the writer; an error of the training itself counts more than the writer's."""
        try:
            self._wait()
        except Exception as failure:
            if error is None:
                raise
            log.warning("checkpoint not written: %s", one_line(failure))
        finally:
            self._thread.shutdown()

    def _save(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self._check()
        write(self._folder, tensors, meta)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def restore_newest(training: Training, folder: Path) -> dict[str, Any] | None:
    """Restore ``training`` from the newest intact checkpoint; its meta, or None without one.

    Damaged checkpoints, and temporary files of a writer that was killed, are deleted.
    """
    for temporary in folder.glob(f".*.{_FILES}"):
        temporary.unlink()
    for path in sorted(folder.glob(_FILES), reverse=True):
        try:
            return training.restore(path)
        except CorruptFile as error:
            log.warning("damaged checkpoint skipped: %s", error)
            path.unlink()
    return None


def delete(folder: Path) -> None:
    """Delete all checkpoints, and the folder if it is empty then."""
    for path in folder.glob(_FILES):
        path.unlink()
    with suppress(OSError):  # no folder, or other files in it
        folder.rmdir()
