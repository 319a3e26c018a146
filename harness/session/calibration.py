"""Seconds that a forward pass takes on this device, in each kind of work, in a few seconds."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.experiment.config import TrialConfig
from harness.experiment.sections import to_settings
from harness.session.trial_costs import Passed
from saat.attacks.interface import GRADIENT_PASSES
from saat.attacks.query_batches import frozen
from saat.defenses import defended_network
from saat.models import BACKBONES, HashingNetwork, evaluating
from saat.pretrain import PretrainSettings
from saat.wording import counted
from saat.work import KINDS, TRAINING_STEP, Work

CALIBRATION_S = 1.0  # for each kind of work
_FEWEST = 3  # batches
# Images at once: a CPU gains nothing from more, a GPU is measured at those of the stages.
_ON_CPU, _ENCODED, _ATTACKED = 32, 250, 128

# Float64 (3,): lower quartile, median and upper quartile of the measured batches.
Spread = np.ndarray
# Kind of work → seconds a forward pass.
Rates = Mapping[str, Spread]


def calibrate_all(
    examples: Mapping[Passed, TrialConfig], device: str, threads: int, say: Callable[[str], None]
) -> dict[Passed, Rates]:
    """Calibrate everything that images pass, with as many ``threads`` as a trial has."""
    say(f"calibration: some seconds on {device} for {counted(len(examples), 'network')}")
    before = torch.get_num_threads()
    torch.set_num_threads(min(threads, os.cpu_count() or 1))
    try:
        return {passed: calibrate(config, device) for passed, config in examples.items()}
    finally:
        torch.set_num_threads(before)


def calibrate(config: TrialConfig, device: str) -> Rates:
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
        seconds = _timed(lambda: step(images.detach()), device)
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


def _timed(step: Callable[[], Any], device: str) -> list[float]:
    """Seconds of every batch for about a second; the first one warms up."""
    step()
    taken: list[float] = []
    while len(taken) < _FEWEST or sum(taken) < CALIBRATION_S:
        _wait(device)
        began = time.monotonic()
        step()
        _wait(device)
        taken.append(time.monotonic() - began)
    return taken


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
