"""The GPUs of a Ray cluster: their memory, and the footprint of a trial on one of them."""

from collections.abc import Callable
from typing import Any

import ray

from harness.executors.footprint import KEY, Footprint, GpuNode, gpu_memory, measure_footprint
from harness.executors.ray_cluster import connect, on_node
from harness.executors.ray_errors import last_line
from harness.executors.ray_slots import check_request
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.sections import EvaluationSection, ResourcesSection
from harness.options import Options
from harness.trial.interface import decode, encode
from saat.errors import InputError
from saat.wording import counted

_ANSWER_TIMEOUT_S = 120.0
_MEASURE_TIMEOUT_S = 3600.0  # long: other jobs may have all GPUs


def measure_on_cluster(
    configs: list[TrialConfig],
    experiment: Experiment,
    options: Options,
    measure: Callable[..., Footprint] = measure_footprint,
    memory: Callable[[], tuple[int, ...]] = gpu_memory,
) -> tuple[Footprint, list[GpuNode]]:
    """Measure settings on a GPU of the cluster; returns the footprint, and the nodes with GPUs.

    ``measure`` runs on a worker with a whole GPU, ``memory`` on every node with GPUs.

    Raises:
        InputError: no node has a GPU, or enough CPUs beside it, or torch cannot use it; memory
            runs out.
    """
    connect(options.address)
    cpus = experiment.resources.cpus_per_trial
    nodes = _gpu_nodes(memory)
    check_request(cpus, 1, options.autoscaling)
    task = ray.remote(_measure_on_worker).options(num_cpus=cpus, num_gpus=1, max_retries=0)
    running = task.remote(
        measure,
        [encode(config) for config in configs],
        encode(experiment.evaluation),
        options.cache_dir,
        encode(experiment.resources),
    )
    return _result(running, _MEASURE_TIMEOUT_S, "a GPU"), nodes


def _gpu_nodes(memory: Callable[[], tuple[int, ...]]) -> list[GpuNode]:
    offering = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("GPU", 0) >= 1]
    if not offering:
        raise InputError(f"{KEY}: no node has a GPU; 0")
    tasks = [on_node(memory, node["NodeID"]).remote() for node in offering]
    found = []
    for node, task in zip(offering, tasks, strict=True):
        name, offered = node["NodeManagerAddress"], node["Resources"]
        sizes = _result(task, _ANSWER_TIMEOUT_S, name)
        if len(sizes) < offered["GPU"]:
            raise InputError(
                f"{KEY}: {name}: Ray offers {counted(offered['GPU'], 'GPU')}, "
                f"torch can use {len(sizes)}"
            )
        found.append(GpuNode(offered.get("CPU", 0.0), tuple(sizes)))
    return found


def _measure_on_worker(
    measure: Callable[..., Footprint],
    configs: list[str],
    evaluation: str,
    cache_dir: str | None,
    resources: str,
) -> Footprint:
    decoded = [decode(TrialConfig, text) for text in configs]
    sections = decode(EvaluationSection, evaluation), decode(ResourcesSection, resources)
    return measure(decoded, sections[0], cache_dir, sections[1])


def _result(task: Any, timeout_s: float, worker: str) -> Any:
    try:
        return ray.get(task, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        raise InputError(f"{KEY}: {worker}: no answer within {timeout_s:g} s") from None
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, InputError):
            raise cause from None
        raise InputError(f"{KEY}: {worker}: {last_line(error)}; give a number") from None
