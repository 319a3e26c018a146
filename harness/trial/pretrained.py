"""A content-addressed store of pretrained models: each is trained once, for all trials."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from harness.experiment.config import TrialConfig, digest
from harness.trial.lease import Lease
from saat import checkpoints, tensor_file
from saat.precision import Precision
from saat.stopwatch import Stage, stage

log = logging.getLogger(__name__)

# Increase it when pretraining changes, so that older models are not used.
FORMAT = 2


def pretrained_key(
    config: TrialConfig, data_fingerprint: str, seed: int, precision: Precision = "fp32"
) -> str:
    """Hash of everything that a pretrained model depends on; no defense is part of it.

    Precision is, so that no trial in fp32 starts from a model that was trained in bf16.
    """
    identity = config.identity()
    parts = [FORMAT, data_fingerprint, identity["model"], identity["pretrain"], seed]
    parts += [] if precision == "fp32" else [precision]  # models of earlier versions have none
    return digest(parts)[:32]


@dataclass(frozen=True)
class Pretrained:
    """Cost of a pretrained model, and how it was trained."""

    seconds: float  # of work; 0 if another trial trained the model
    out_of_memory: str = ""  # see harness.trial.interface.EpochReport


def fetch_pretrained(
    folder: Path,
    network: nn.Module,
    objective: nn.Module,
    build: Callable[[Path, Callable[[], None]], Pretrained],
    builder: str,
) -> Pretrained:
    """Load a pretrained state into ``network`` and ``objective``, training it if it is missing.

    The model is stored as ``folder/model.safetensors``. While it is trained, its checkpoints are in
    the same folder. The trial that trains it holds a lease on the folder; other trials wait.

    Args:
        folder: its name is the :func:`pretrained_key`.
        network: takes the weights.
        objective: takes the objective's state.
        build: trains both in place, with checkpoints in the given folder. It calls its second
            argument before each write, which ends the process if another trial took over.
        builder: id of the trial that asks. The cost counts for the trial that trained the model,
            even after a restart.
    """
    target = folder / "model.safetensors"
    with ExitStack() as held:
        with stage(Stage.WAITING_FOR_MODEL):
            lease = held.enter_context(Lease(folder, takes_over=False))
        found = _load(target, network, objective, builder)
        if found is not None:
            return found
        built = build(folder, lease.check)
        tensors = {
            **tensor_file.prefixed("network", network.state_dict()),
            **tensor_file.prefixed("objective", objective.state_dict()),
        }
        lease.check()
        tensor_file.save(target, tensors, {**asdict(built), "builder": builder})
        checkpoints.delete(folder)
        # The builder starts from the same bits and memory layout as trials that load the model.
        _load(target, network, objective, builder)
        return built


def _load(path: Path, network: nn.Module, objective: nn.Module, builder: str) -> Pretrained | None:
    try:
        tensors, meta = tensor_file.load(path)
        seconds = float(meta["seconds"]) if meta["builder"] == builder else 0.0
        found = Pretrained(seconds, str(meta.get("out_of_memory", "")))
        network.load_state_dict(tensor_file.tensors_under("network", tensors))
        objective.load_state_dict(tensor_file.tensors_under("objective", tensors))
    except FileNotFoundError:
        return None
    except (tensor_file.CorruptFile, RuntimeError, KeyError, TypeError, ValueError) as error:
        log.warning("pretrained model is damaged and will be trained again: %s", error)
        return None
    return found
