"""Estimates the seconds that the stages of a trial take, from a second of training each."""

import time
from dataclasses import dataclass

import torch

from harness.experiment.config import Experiment
from harness.experiment.protocols import full_protocol
from harness.trial.partial_epoch import run_until
from harness.trial.stages import adversarial_training, build_models, pretraining
from saat.attacks import Attack
from saat.compute import Compute
from saat.data import RetrievalData
from saat.training import Training

_CALIBRATION_S = 1.0  # for each stage


@dataclass(frozen=True)
class Costs:
    """Seconds on one device: an epoch of each stage, and one re-attack of each phase."""

    pretrain_epoch: float
    defense_epoch: float
    validation: float
    reattack: float
    test: float


def calibrate(experiment: Experiment, data: RetrievalData, device: str) -> Costs:
    """Time a second of each kind of training on the real data, and derive the other costs.

    A step of an attack costs a forward and a backward pass, as an image of pretraining does;
    encoding an image costs a third of that.
    """
    config, resources, place = experiment.config, experiment.resources, torch.device(device)
    compute = Compute()  # of a machine that does not have the device of the trials
    if device == ("cuda" if resources.gpus else "cpu"):
        compute = Compute.on(place, resources.precision, resources.compile)
    pretrained, defended = (build_models(config, data, 0, device) for _ in range(2))
    with compute.running(place):
        compute.prepare(pretrained[0])
        first = pretraining(config, *pretrained, data, 0)
        _compiled(first, compute)
        pretrain_epoch, per_image = time_epoch(first, data)
        compute.prepare(defended[0])
        training = adversarial_training(config, *defended, data, 0)
        if training is not None:
            compute.apply(training)
            _compiled(training, compute)
        defense_epoch = 0.0 if training is None else time_epoch(training, data)[0]
    encoding = per_image / 3
    validation, full = experiment.validation, full_protocol(experiment.evaluation)
    steps = sum(_steps(attack, experiment.evaluation.steps) for attack in full.attacks.values())
    searched = len(data.validation_database) * encoding
    return Costs(
        pretrain_epoch,
        defense_epoch,
        searched + min(validation.queries, len(data.validation)) * validation.steps * per_image,
        searched + len(data.validation) * steps * per_image,
        len(data.database) * encoding + len(data.test) * steps * per_image,
    )


def _compiled(training: Training, compute: Compute) -> None:
    """Run a batch first where something is compiled, which takes long, once in a training."""
    if compute.used(training) != "none":
        run_until(training, lambda *_: True)


def _steps(attack: Attack, default: int) -> int:
    """Number of gradients that an attack takes per query."""
    return int(getattr(attack, "steps", default)) * int(getattr(attack, "restarts", 1))


def time_epoch(training: Training, data: RetrievalData) -> tuple[float, float]:
    """Estimate from the beginning of an epoch the seconds of all of it, and of one image.

    The first batch warms up, so it counts only if it is the only one.
    """
    cuda = next(training.network.parameters()).is_cuda
    began = time.monotonic()
    ends: list[float] = []
    batches = 1

    def enough(_: int, count: int) -> bool:
        nonlocal batches
        if cuda:
            torch.cuda.synchronize()
        ends.append(time.monotonic())
        batches = count
        return len(ends) > 1 and ends[-1] - began > _CALIBRATION_S

    run_until(training, enough)
    first = ends[0] - began
    batch = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else first
    return first + (batches - 1) * batch, batch * batches / len(data.train)
