"""The checkpoints of a training stage in a folder: the newest that can be trusted wins."""

import logging
import shutil
from pathlib import Path
from typing import Any

from saat.checkpoint import CorruptCheckpoint
from saat.training import Training

log = logging.getLogger(__name__)

_KEPT = 2  # a truncated newest one costs an epoch, not the stage


def write(training: Training, folder: Path, meta: dict[str, Any]) -> None:
    """Save the finished epoch durably, then drop all but the newest two."""
    training.save(folder / f"epoch-{training.epoch:05d}.safetensors", meta)
    for old in sorted(folder.glob("epoch-*.safetensors"))[:-_KEPT]:
        old.unlink()


def restore_newest(training: Training, folder: Path) -> dict[str, Any] | None:
    """Continue ``training`` from the newest intact checkpoint; its meta, or None without one.

    Whoever holds the folder is its only writer, so half a file is of a writer that was killed.
    """
    for half in folder.glob(".*.epoch-*.safetensors"):
        half.unlink()
    for path in sorted(folder.glob("epoch-*.safetensors"), reverse=True):
        try:
            return training.restore(path)
        except CorruptCheckpoint as error:
            log.warning("damaged checkpoint skipped: %s", error)
            path.unlink()
    return None


def forget(folder: Path) -> None:
    """Delete the checkpoints of a stage whose result is safe elsewhere."""
    for path in folder.glob("epoch-*.safetensors"):
        path.unlink()
    if folder.exists() and not any(folder.iterdir()):
        shutil.rmtree(folder)
