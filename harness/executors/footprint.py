"""What the heaviest batches of a trial take of a GPU, measured in a process that has one to itself.

A batch of pretraining, a batch of adversarial training, a batch of queries under every attack.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from harness.experiment.config import Experiment, Setting
from harness.experiment.protocols import full_protocol
from harness.experiment.sections import EvaluationSection
from harness.options import Options
from harness.trial.stages import adversarial_training, build_models, pretraining
from harness.trial.threads import bound_threads
from harness.trial.trial import trial_data
from saat import memory
from saat.attacks import Attack
from saat.data import RetrievalData
from saat.errors import InputError, one_line
from saat.evaluation import evaluate
from saat.training import Training
from saat.wording import counted

KEY = "resources.gpus_per_trial: auto"
_STEPS = 2  # of an attack; each takes as much as the first


@dataclass(frozen=True)
class Footprint:
    """What one trial takes of a GPU.

    Attributes:
        peak: bytes that torch held at most.
        context: bytes that CUDA takes besides, in every process.
        stage: where the peak was.
        setting: model and method there.
    """

    peak: int
    context: int
    stage: str
    setting: str

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.peak + self.context


@dataclass(frozen=True)
class GpuNode:
    """A node with GPUs.

    Attributes:
        cpus: that it offers.
        memory: bytes of each of its GPUs.
    """

    cpus: float
    memory: tuple[int, ...]


class Meter(Protocol):
    """Memory of the device that this process has."""

    def restart(self) -> None:
        """Begin a new peak."""

    def peak(self) -> int:
        """Bytes held at most since then."""

    def context(self) -> int:
        """Bytes taken outside torch."""


class CudaMeter:
    """See :class:`Meter`."""

    def restart(self) -> None:
        """See :class:`Meter`."""
        memory.release()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """What the allocator reserved, which no neighbour can have."""
        torch.cuda.synchronize()
        return torch.cuda.max_memory_reserved()

    def context(self) -> int:
        """What is taken of the GPU and not by the allocator, other processes' memory included."""
        free, total = torch.cuda.mem_get_info()
        return total - free - torch.cuda.memory_reserved()


def footprint(
    settings: Sequence[Setting],
    evaluation: EvaluationSection,
    cache_dir: str | None,
    threads: int,
    device: str = "cuda",
    meter: Meter | None = None,
) -> Footprint:
    """Do what weighs most, setting by setting, in a process that has a GPU to itself.

    Args:
        settings: all of one data set.
        evaluation: the experiment's ``evaluation`` section.
        cache_dir: node-local cache of decoded images.
        threads: of a trial.
        device: to work on.
        meter: of its memory.

    Raises:
        InputError: memory runs out.
    """
    bound_threads(threads)
    meter = meter or CudaMeter()
    worst = Footprint(0, 0, "", "")
    for setting in settings:
        model = setting.model
        name = f"{model.backbone}, {counted(model.bits, 'bit')}, {setting.method}"
        stage = "reading the data"
        try:
            data = trial_data(setting, cache_dir)
            meter.restart()
            for stage in workloads(setting, data, evaluation, device):
                peak = meter.peak()
                if peak > worst.peak:
                    worst = Footprint(peak, 0, stage, name)
                meter.restart()
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            raise InputError(
                f"{KEY}: out of memory after {stage} ({name}): {one_line(error, 120)}; lower "
                "batch_size or data.image_size"
            ) from None
    return replace(worst, context=max(0, meter.context()))


def workloads(
    setting: Setting, data: RetrievalData, evaluation: EvaluationSection, device: str
) -> Iterator[str]:
    """A batch of each kind of work of a trial; its name once it is done."""
    models = build_models(setting, data, 0, device)
    defended: torch.nn.Module = models[0]
    _one_batch(pretraining(setting, *models, data, 0))
    yield "pretraining"
    training = adversarial_training(setting, *models, data, 0)
    if training is not None:
        _one_batch(training)
        defended = training.defended
        yield "adversarial training"
    protocol = full_protocol(evaluation)
    attacks = {
        name: replace(attack, steps=min(attack.steps, _STEPS))
        for name, attack in protocol.attacks.items()
        if type(attack).fit is Attack.fit  # others train networks of their own for hours
    }
    short = replace(protocol, attacks=attacks)
    evaluate(defended, data, short, "test", 0, protocol.batch_size)
    yield "evaluation"


class _Enough(Exception):
    """Of an epoch after its first batch."""


def _one_batch(training: Training) -> None:
    def stop(done: int, count: int) -> None:
        raise _Enough

    with suppress(_Enough):
        training.run_epoch(stop)


def measured_here(
    settings: list[Setting], experiment: Experiment, options: Options
) -> tuple[Footprint, list[GpuNode]]:
    """In this process, on its GPU."""
    if not torch.cuda.is_available():
        raise InputError(f"{KEY}: this machine has no GPU that torch can use; 0")
    threads = experiment.resources.cpus_per_trial
    found = footprint(settings, experiment.evaluation, options.cache_dir, threads)
    return found, [GpuNode(threads, gpu_memory()[:1])]


def gpu_memory() -> tuple[int, ...]:
    """Bytes of every GPU that this process sees."""
    return tuple(
        torch.cuda.get_device_properties(number).total_memory
        for number in range(torch.cuda.device_count())
    )
