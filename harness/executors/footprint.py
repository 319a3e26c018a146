"""GPU memory that a trial needs: that of its largest batches, measured on a GPU without others.

One batch of pretraining, one of adversarial training, one of queries under every attack.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.protocols import full_protocol
from harness.experiment.sections import EvaluationSection, ResourcesSection
from harness.options import Options
from harness.trial.compute import bound_threads
from harness.trial.stages import adversarial_training, build_models, pretraining, trial_data
from saat import memory
from saat.attacks import Attack
from saat.compute import Compute
from saat.data import RetrievalData
from saat.errors import InputError, one_line
from saat.protocol import evaluate
from saat.training import Training
from saat.wording import counted

KEY = "resources.gpus_per_trial: auto"
_STEPS = 2  # of an attack; every step needs as much memory as the first


@dataclass(frozen=True)
class Footprint:
    """GPU memory that one trial needs, in bytes, and the stage and the setting that need most."""

    peak: int  # of what torch reserved
    context: int  # what CUDA needs besides, in every process
    stage: str
    setting: str

    @property
    def bytes(self) -> int:
        """Torch's and CUDA's bytes together."""
        return self.peak + self.context


@dataclass(frozen=True)
class GpuNode:
    """A node with GPUs: the CPUs that it offers to trials, and the bytes of each GPU."""

    cpus: float
    memory: tuple[int, ...]


class GpuMemory:
    """Memory of the GPU that this process has."""

    def reset_peak(self) -> None:
        """Begin a new peak."""
        memory.release()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Most bytes that torch's allocator reserved since then; no other process can have them."""
        torch.cuda.synchronize()
        return torch.cuda.max_memory_reserved()

    def outside_torch(self) -> int:
        """Bytes that are in use and not the allocator's, other processes' memory included."""
        free, total = torch.cuda.mem_get_info()
        return total - free - torch.cuda.memory_reserved()


def measure_footprint(
    configs: Sequence[TrialConfig],
    evaluation: EvaluationSection,
    cache_dir: str | None,
    resources: ResourcesSection,
    device: str = "cuda",
) -> Footprint:
    """Run the largest batches of every setting; returns the largest footprint.

    Threads, precision and compilation are those of a trial's ``resources``: a CUDA graph keeps the
    memory of its batch.

    Raises:
        InputError: memory runs out, or the device has no such precision.
    """
    bound_threads(resources.cpus_per_trial)
    compute = Compute.on(torch.device(device), resources.precision, resources.compile)
    gpu, largest = GpuMemory(), Footprint(0, 0, "", "")
    for config in configs:
        model = config.model
        name = f"{model.backbone}, {counted(model.bits, 'bit')}, {config.method}"
        stage = "reading the data"
        try:
            data = trial_data(config, cache_dir)
            gpu.reset_peak()
            for stage in workloads(config, data, evaluation, device, compute):
                peak = gpu.peak()
                if peak > largest.peak:
                    largest = Footprint(peak, 0, stage, name)
                gpu.reset_peak()
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            raise InputError(
                f"{KEY}: out of memory after {stage} ({name}): {one_line(error, 120)}; lower "
                "batch_size or data.image_size"
            ) from None
    return replace(largest, context=max(0, gpu.outside_torch()))


def workloads(
    config: TrialConfig,
    data: RetrievalData,
    evaluation: EvaluationSection,
    device: str,
    compute: Compute,
) -> Iterator[str]:
    """Run one batch of each kind of work of a trial; yields its name when it is done."""
    models = build_models(config, data, 0, device)
    compute.prepare(models[0])
    defended: torch.nn.Module = models[0]
    with compute.running(torch.device(device)):
        _run_batch(pretraining(config, *models, data, 0))
    yield "pretraining"
    with compute.running(torch.device(device)):
        training = adversarial_training(config, *models, data, 0)
        if training is not None:
            compute.apply(training)
            _run_batch(training)
    if training is not None:
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


class _Stopped(Exception):
    """Ends an epoch from inside its progress callback."""


def _run_batch(training: Training) -> None:
    """Run the first batch of an epoch, which does not count as finished."""

    def stop(*_: int) -> None:
        raise _Stopped

    with suppress(_Stopped):
        training.run_epoch(stop)


def measure_here(
    configs: list[TrialConfig], experiment: Experiment, options: Options
) -> tuple[Footprint, list[GpuNode]]:
    """Measure settings in this process; returns the largest footprint, and its node."""
    resources = experiment.resources
    found = measure_footprint(configs, experiment.evaluation, options.cache_dir, resources)
    return found, [GpuNode(resources.cpus_per_trial, gpu_memory()[:1])]


def gpu_memory() -> tuple[int, ...]:
    """Bytes of every GPU that this process can use."""
    return tuple(
        torch.cuda.get_device_properties(number).total_memory
        for number in range(torch.cuda.device_count())
    )
