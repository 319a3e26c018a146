"""The stages of a model: network and objective, pretraining, a defense; one by one or all at once.

A trial of the harness goes through the same functions, so equal settings give equal weights.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from saat.compute import ASKED_PRECISIONS, COMPILES, AskedPrecision, Compile, Compute
from saat.data import RetrievalData
from saat.defenses import DEFENSES
from saat.errors import InputError, check_known, one_line
from saat.hashing import OBJECTIVES, HashingObjective
from saat.models import BACKBONES, HashingNetwork, build_network
from saat.pretrain import Pretraining, PretrainSettings
from saat.settings import settings_from
from saat.training import Training

_MOST_BITS = 4096


def build_models(
    data: RetrievalData,
    backbone: str,
    weights: str,
    hashing: str,
    bits: int,
    seed: int,
    device: str | torch.device,
) -> tuple[HashingNetwork, HashingObjective]:
    """Network and objective before pretraining, on ``device``; see :func:`train`."""
    network = build_network(backbone, weights, bits, data.image_size, seed)
    objective = OBJECTIVES[hashing](data.label_tensor(data.train), bits, seed)
    return network.to(torch.device(device)), objective.to(torch.device(device))


def train(
    data: RetrievalData,
    *,
    hashing: str = "dph",
    bits: int = 32,
    backbone: str = "small_cnn",
    weights: str = "none",
    defense: str = "saat",
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
    options: Mapping[str, Any] | None = None,
    pretrain_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: AskedPrecision = "auto",
    compile: Compile = "none",
    progress: Callable[[str, int, int], None] | None = None,
) -> nn.Module:
    """Pretrain a hashing network, then defend it.

    Options are those of an experiment file, and so are their defaults, the published ones. Equal
    settings and seed give the weights of a trial of the harness, bit for bit on a CPU.

    >>> import saat
    >>> data = saat.RetrievalData.named("digits_mini", image_size=16)
    >>> network = saat.train(data, bits=16, pretrain_epochs=1, epochs=1, options={"steps": 1})
    >>> network.training
    False

    Args:
        data: its training images and their labels are learned from.
        hashing: the objective, a name in :data:`saat.hashing.OBJECTIVES`.
        bits: code length K, 1 to 4096.
        backbone: a name in :data:`saat.models.BACKBONES`.
        weights: ``none`` (from scratch), ``imagenet``, or the path of a state dict.
        defense: a name in :data:`saat.defenses.DEFENSES`, or ``none``.
        epochs: passes of the defense over the training images; the published number where None.
        pretrain_epochs: passes of pretraining; the published number where None.
        options: further options of the defense, by their keys in an experiment file (``lambda``).
        pretrain_options: further options of pretraining (``lr``, ``batch_size``, …).
        seed: of initial weights, order and random choices.
        device: of the training; a GPU if there is one where None.
        precision: ``fp32``, ``tf32``, ``bf16`` (:func:`saat.precision.computing`), or ``auto``:
            TF32 where the device has it, otherwise float32.
        compile: ``graphs`` replays the inner maximisation as a CUDA graph, ``inductor`` compiles
            the network by ``torch.compile``; ``none`` does neither.
        progress: called after every epoch with (stage, epochs done, epochs in all).

    Returns:
        What the defense deploys, in evaluation mode on ``device``: float images in [0, 1]
        (B, 3, H, W) → pre-tanh features (B, K).

    Raises:
        InputError: an unknown name, an option out of range, a device that is not there, or that
            lacks the precision or what compiles.
        TrainingFailed: a loss that is not finite.
    """
    check_known("hashing", hashing, OBJECTIVES)
    check_known("backbone", backbone, BACKBONES)
    check_known("defense", defense, ("none", *DEFENSES))
    check_known("precision", precision, ASKED_PRECISIONS)
    check_known("compile", compile, COMPILES)
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= _MOST_BITS:
        raise InputError(f"bits: {bits!r}: an integer from 1 to {_MOST_BITS}")
    if defense == "none" and (epochs is not None or options):
        raise InputError("defense: none has no epochs and no options; pretrain_epochs")
    first = settings_from(PretrainSettings, _merged(pretrain_options, pretrain_epochs), "pretrain")
    entry = DEFENSES.get(defense)
    second = entry and settings_from(entry.settings, _merged(options, epochs), "defense")
    if getattr(second, "select", "last") == "best":
        raise InputError("defense.select: best: needs validation queries, which a run has; last")
    place = _device(device)
    compute = Compute.on(place, precision, compile)
    devices = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices), compute.running(place):  # stages seed the generators
        network, objective = build_models(data, backbone, weights, hashing, bits, seed, place)
        compute.prepare(network)
        pretrained = _finish(Pretraining(network, objective, data, first, seed), progress)
        if entry is None:
            return pretrained
        training = entry.training(network, objective, data, second, seed)
        compute.apply(training)
        return _finish(training, progress)


def _merged(options: Mapping[str, Any] | None, epochs: int | None) -> dict[str, Any]:
    return {**(options or {}), **({} if epochs is None else {"epochs": epochs})}


def _finish(training: Training, progress: Callable[[str, int, int], None] | None) -> nn.Module:
    while not training.finished:
        training.run_epoch()
        if progress:
            progress(training.stage, training.epoch, training.settings.epochs)
    return training.defended.eval()


def _device(device: str | torch.device | None) -> torch.device:
    """The device, which must be able to hold tensors."""
    try:
        default = "cuda" if torch.cuda.is_available() else "cpu"
        place = torch.device(default if device is None else device)
        torch.zeros(1, device=place).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device}: {one_line(error, 120)}") from None
    return place
