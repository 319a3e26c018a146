"""A content-addressed store of pretrained models: each is trained once, for whoever needs it."""

import logging
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from harness.config import Setting, digest
from saat import checkpoint
from saat.hashing import HashingObjective
from saat.models import HashingNetwork

log = logging.getLogger(__name__)

# Raised when pretraining itself changes, so that no older model is taken for a newer one.
FORMAT = 1


def pretrained_key(setting: Setting, data_fingerprint: str, seed: int) -> str:
    """What a pretrained model depends on: neither λ nor μ nor ε nor any defense."""
    dump = setting.dump()
    parts = [FORMAT, data_fingerprint, dump["model"], dump["pretrain"], seed]
    return digest(parts)[:32]


class PretrainedStore:
    """Models under ``root/KEY/model.safetensors``; unfinished ones leave their checkpoints there.

    The builder holds a lock that its death releases; everyone else waits for it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def fetch(
        self,
        key: str,
        network: HashingNetwork,
        objective: HashingObjective,
        build: Callable[[Path], float],
    ) -> float:
        """Load the pretrained state into ``network`` and ``objective``, training it if missing.

        Args:
            key: see :func:`pretrained_key`.
            network: takes the weights.
            objective: takes the objective's state.
            build: trains both in place, checkpointing into the given folder, and returns the
                seconds it took.

        Returns:
            Seconds spent building, 0 if the model was there.
        """
        folder = self.root / key
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / "model.safetensors"
        with FileLock(folder / ".lock"):
            if self._load(target, network, objective):
                return 0.0
            seconds = build(folder)
            tensors = {
                **checkpoint.module_tensors("network", network),
                **checkpoint.module_tensors("objective", objective),
            }
            checkpoint.save(target, tensors, {"seconds": seconds})
            # Whoever builds and whoever loads start from the very same bits and memory layout.
            self._load(target, network, objective)
            return seconds

    @staticmethod
    def _load(path: Path, network: HashingNetwork, objective: HashingObjective) -> bool:
        try:
            tensors, _ = checkpoint.load(path)
            checkpoint.restore_module("network", network, tensors)
            checkpoint.restore_module("objective", objective, tensors)
        except FileNotFoundError:
            return False
        except (checkpoint.CorruptCheckpoint, RuntimeError) as error:
            log.warning("pretrained model is damaged and will be trained again: %s", error)
            return False
        return True
