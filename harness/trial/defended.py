"""A store of finished defense trainings, for runs that attack the same models in other ways.

It holds the last checkpoint of a training. A trial that finds its own there starts from it, as
after an interruption: with all its epochs reported, and the attacks to do.
"""

import shutil
from pathlib import Path

from harness.experiment.config import digest
from harness.trial.interface import TrialContext, TrialSpec
from harness.trial.pretrained import pretrained_key
from saat import checkpoints
from saat.atomic_files import replacing
from saat.precision import Precision

# Increase it when a training changes, so that older ones are not used.
FORMAT = 1


def stored_training(
    spec: TrialSpec, context: TrialContext, data_fingerprint: str, precision: Precision
) -> Path | None:
    """The folder in the store of a trial's training; None where its run does not use the store.

    Its name covers what decides the weights, and what validation reports of every epoch.
    """
    if not context.share_trainings:
        return None
    evaluation = context.evaluation
    parts = [
        FORMAT,
        pretrained_key(spec.config, data_fingerprint, spec.seed, precision),
        spec.config.identity()["defense"],
        context.resources.compile,
        context.validation.model_dump(mode="json"),
        list(context.deciding_epochs),
        [evaluation.top_k, evaluation.ties, evaluation.precision],
    ]
    return Path(context.pretrained_dir) / "defended" / digest(parts)[:32]


def fetch(stored: Path | None, folder: Path) -> None:
    """Copy a stored checkpoint to a trial's own folder, if that has none."""
    if stored is not None and checkpoints.newest(folder) is None:
        _copy(stored, folder)


def keep(folder: Path, stored: Path | None) -> None:
    """Copy a trial's last checkpoint to the store, if that has none."""
    if stored is not None and checkpoints.newest(stored) is None:
        _copy(folder, stored)


def _copy(source: Path, target: Path) -> None:
    last = checkpoints.newest(source)
    if last is None:
        return
    target.mkdir(parents=True, exist_ok=True)
    with replacing(target / last.name) as temporary:
        shutil.copyfile(last, temporary)
