"""A trial that runs out of memory: once more with half the batch at once, then a failed trial."""

from pathlib import Path

from harness.files import write_json
from saat.training import Training

_FILE = "out_of_memory.json"


def happened(folder: Path) -> bool:
    """Whether the trial in ``folder`` ran out of memory before, in this life or an earlier one."""
    return (folder / _FILE).exists()


def remember(folder: Path, problem: str) -> None:
    """Note durably that the trial in ``folder`` ran out of memory, and with which words."""
    write_json(folder / _FILE, {"error": problem})


def split(training: Training, note: str) -> str:
    """Halve what passes the network at once in a training that begins or goes on.

    Args:
        training: restored.
        note: what an earlier life of it noted; empty if it ran on whole batches so far.

    Returns:
        A sentence for the record: numbers of a split batch are not those of a whole one.
    """
    training.split_batches(-(-training.settings.batch_size // 2))
    if note:
        return note
    changed = training.changed_by_splitting()
    beyond = f", which changes {' and '.join(changed)}" if changed else ""
    return f"{_at_once(training)} from epoch {training.epoch + 1} on{beyond}"


def failure(training: Training | None, device: str, shared: bool) -> str:
    """Why a trial fails that ran out of memory again, and what to lower: one line.

    Args:
        training: the stage; None while data are loaded or a model is attacked.
        device: of the trial.
        shared: whether other trials run on the same GPU.
    """
    where, lower = "", "data.image_size"
    if training is not None:
        section = "pretrain" if training.stage == "pretrain" else "defense"
        where, lower = f" ({_at_once(training)})", f"{section}.batch_size or data.image_size"
    more = ""
    if device == "cpu":
        more = ", or lower search.max_concurrent"
    elif shared:
        more = ", or raise resources.gpus_per_trial"
    return f"out of memory twice{where}: lower {lower}, take a smaller model.backbone{more}"


def _at_once(training: Training) -> str:
    whole = training.settings.batch_size
    return f"{training.stage}: {training.physical_batch or whole} of {whole} images at once"
