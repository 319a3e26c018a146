"""Checkpoints of a training stage: where they are kept, and which one is restored."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from saat.tensor_file import CorruptFile
from saat.training import Training

log = logging.getLogger(__name__)

_FILES = "epoch-*.safetensors"
_KEPT = 2  # if the newest is damaged, one epoch is lost, not the stage


def folder_of(trial_folder: Path) -> Path:
    """The folder of a trial's checkpoints."""
    return trial_folder / "checkpoint"


def newest(folder: Path) -> Path | None:
    """The checkpoint of the last epoch; None where there is none."""
    return max(folder.glob(_FILES), default=None)


def write(training: Training, folder: Path, meta: dict[str, Any]) -> None:
    """Save the finished epoch durably, then drop all but the newest two."""
    training.save(folder / f"epoch-{training.epoch:05d}.safetensors", meta)
    for old in sorted(folder.glob(_FILES))[:-_KEPT]:
        old.unlink()


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
