"""Trials that run out of memory: the first time batches are split, the second time they fail."""

from saat.training import Training


def split(training: Training, note: str) -> str:
    """Halve the number of images that pass the network at once in a restored training.

    Returns:
        A sentence for the record, because split batches give other numbers than whole ones. It is
        the ``note`` of an earlier attempt, or a new sentence if that is empty.
    """
    training.split_batches(-(-training.settings.batch_size // 2))
    if note:
        return note
    changed = training.changed_by_splitting()
    beyond = f", which changes {' and '.join(changed)}" if changed else ""
    return f"{_at_once(training)} from epoch {training.epoch + 1} on{beyond}"


def failure(training: Training | None, device: str, shared: bool) -> str:
    """One line: why a trial that ran out of memory twice fails, and what to lower.

    ``training`` is None while data are loaded or a model is attacked; ``shared`` says whether other
    trials run on the same GPU.
    """
    where, lower, more = "", "data.image_size", ""
    if training is not None:
        section = "pretrain" if training.stage == "pretrain" else "defense"
        where, lower = f" ({_at_once(training)})", f"{section}.batch_size or data.image_size"
    if device == "cpu":
        more = ", or lower search.max_concurrent"
    elif shared:
        more = ", or raise resources.gpus_per_trial"
    return f"out of memory twice{where}: lower {lower}, take a smaller model.backbone{more}"


def _at_once(training: Training) -> str:
    whole = training.settings.batch_size
    return f"{training.stage}: {training.physical_batch or whole} of {whole} images at once"
