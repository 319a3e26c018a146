"""A content-addressed store of pretrained models: each is trained once, for whoever needs it."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.experiment.config import Setting, digest
from harness.trial import checkpoints
from harness.trial.lease import Lease
from saat import checkpoint
from saat.hashing import HashingObjective
from saat.models import HashingNetwork

log = logging.getLogger(__name__)

# Raised when pretraining itself changes, so that no older model is taken for a newer one.
FORMAT = 2


def pretrained_key(setting: Setting, data_fingerprint: str, seed: int) -> str:
    """What a pretrained model depends on: neither λ nor μ nor ε nor any defense."""
    identity = setting.identity()
    parts = [FORMAT, data_fingerprint, identity["model"], identity["pretrain"], seed]
    return digest(parts)[:32]


@dataclass(frozen=True)
class Pretrained:
    """How a pretrained model came about.

    Attributes:
        seconds: spent on it by whoever asks; 0 if somebody else built it.
        out_of_memory: see :class:`harness.trial.interface.EpochReport`; of the model, whoever built
            it.
    """

    seconds: float
    out_of_memory: str = ""


class PretrainedStore:
    """Models under ``root/KEY/model.safetensors``; unfinished ones leave their checkpoints there.

    The builder holds a lease, which ends with it; everyone else waits.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def fetch(
        self,
        key: str,
        network: HashingNetwork,
        objective: HashingObjective,
        build: Callable[[Path, Callable[[], None]], Pretrained],
        builder: str,
    ) -> Pretrained:
        """Load the pretrained state into ``network`` and ``objective``, training it if missing.

        Args:
            key: see :func:`pretrained_key`.
            network: takes the weights.
            objective: takes the objective's state.
            build: trains both in place, checkpointing into the given folder, and calls what it is
                given before it writes there: a builder that was taken for dead ends then.
            builder: who asks; whoever built a model is charged for it, also in a later life.
        """
        folder = self.root / key
        target = folder / "model.safetensors"
        with Lease(folder, takes_over=False) as lease:
            found = self._load(target, network, objective, builder)
            if found is not None:
                return found
            built = build(folder, lease.check)
            tensors = {
                **checkpoint.module_tensors("network", network),
                **checkpoint.module_tensors("objective", objective),
            }
            lease.check()
            checkpoint.save(target, tensors, {**asdict(built), "builder": builder})
            checkpoints.delete(folder)
            # Whoever builds and whoever loads start from the very same bits and memory layout.
            self._load(target, network, objective, builder)
            return built

    @staticmethod
    def _load(
        path: Path, network: HashingNetwork, objective: HashingObjective, builder: str
    ) -> Pretrained | None:
        try:
            tensors, meta = checkpoint.load(path)
            own = meta["builder"] == builder
            seconds = float(meta["seconds"]) if own else 0.0
            found = Pretrained(seconds, str(meta.get("out_of_memory", "")))
            checkpoint.restore_module("network", network, tensors)
            checkpoint.restore_module("objective", objective, tensors)
        except FileNotFoundError:
            return None
        except (
            checkpoint.CorruptCheckpoint,
            RuntimeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            log.warning("pretrained model is damaged and will be trained again: %s", error)
            return None
        return found
