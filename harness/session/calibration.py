"""Seconds that a forward pass takes on this device, in each kind of work, in a few seconds."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from harness.experiment.config import TrialConfig
from harness.experiment.sections import ResourcesSection, to_settings
from harness.session.trial_costs import Passed
from saat.attacks.interface import GRADIENT_PASSES
from saat.attacks.query_batches import frozen
from saat.defenses import defended_network
from saat.models import BACKBONES, HashingNetwork, evaluating
from saat.pretrain import PretrainSettings
from saat.wording import counted
from saat.work import KINDS, TRAINING_STEP, Work

CALIBRATION_S = 1.0  # for each kind of work
# Images at once: a CPU gains nothing from more, a GPU is measured at those of the stages.
_ON_CPU, _ENCODED, _ATTACKED = 32, 250, 128

# Float64 (3,): lower quartile, median and upper quartile of the measured batches.
Spread = np.ndarray
# Kind of work → seconds a forward pass.
Rates = Mapping[str, Spread]


class Calibration(NamedTuple):
    """Seconds a forward pass of everything that images pass."""

    rates: dict[Passed, Rates]  # empty without a device
    device: str  # ``cpu``, or a GPU's name; empty where the run asks for one and none is here


def calibrate_all(
    examples: Mapping[Passed, TrialConfig], resources: ResourcesSection, say: Callable[[str], None]
) -> Calibration:
    """Calibrate everything that images pass on the CPUs or the GPU that a trial has."""
    device = "cuda" if resources.gpus else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        return Calibration({}, "")
    say(f"calibration: some seconds on {device} for {counted(len(examples), 'network')}")
    threads = min(resources.cpus_per_trial, os.cpu_count() or 1)
    rates = {passed: calibrate(config, device, threads) for passed, config in examples.items()}
    return Calibration(rates, torch.cuda.get_device_name() if device == "cuda" else device)


def calibrate(config: TrialConfig, device: str, threads: int) -> Rates:
    """Time random images through a random network of a setting; see :class:`saat.work.Work`."""
    model, size = config.model, config.data.image_size
    built = BACKBONES[model.backbone].build(model.weights == "none")
    network = HashingNetwork(built, model.bits).to(memory_format=torch.channels_last).to(device)
    passed = defended_network(config.method, network, config.defense.model_dump())
    settings = to_settings(PretrainSettings, config.pretrain)
    optimiser = settings.optimiser(passed.parameters())
    inner = int(getattr(config.defense, "batch_size", settings.batch_size))

    def encode(images: Tensor) -> None:
        with torch.no_grad(), evaluating(passed):
            passed(images)

    def descend(images: Tensor) -> None:
        with frozen(passed):
            point = images.requires_grad_(True)
            torch.autograd.grad(passed(point).tanh().mean(), point)

    def attack(images: Tensor) -> None:
        with evaluating(passed):
            descend(images)

    def train(images: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        passed(images).tanh().mean().backward()
        optimiser.step()

    def rate(step: Callable[[Tensor], None], batch: int, passes: int) -> Spread:
        images = torch.rand(batch if device != "cpu" else min(batch, _ON_CPU), 3, size, size)
        images = images.to(device).contiguous(memory_format=torch.channels_last)
        given = {"step": step, "images": images}
        timer = Timer("step(images.detach())", globals=given, num_threads=threads)
        seconds = timer.blocked_autorange(min_run_time=CALIBRATION_S).times
        return np.percentile(seconds, (25, 50, 75)) / (len(images) * passes)

    return {
        "encoding": rate(encode, _ENCODED, 1),
        "attack": rate(attack, _ATTACKED, GRADIENT_PASSES),
        "inner": rate(descend, inner, GRADIENT_PASSES),
        "training": rate(train, max(2, settings.batch_size), TRAINING_STEP),
    }


def seconds(work: Work, rates: Rates) -> Spread:
    """Seconds that work takes, with their spread."""
    each = (part * rates[kind] for kind, part in zip(KINDS, work.parts, strict=True))
    return sum(each, np.zeros(3))


def hours(costs: Iterable[Mapping[Passed, Work]], rates: Mapping[Passed, Rates]) -> Spread | None:
    """Device-hours of all these costs; None where nothing was calibrated."""
    if not rates:
        return None
    parts = (seconds(work, rates[passed]) for part in costs for passed, work in part.items())
    return sum(parts, np.zeros(3)) / 3600


def spread_content(found: Spread | None) -> dict[str, float] | None:
    """A spread, JSON-able."""
    return None if found is None else dict(zip(("low", "median", "high"), found, strict=True))
