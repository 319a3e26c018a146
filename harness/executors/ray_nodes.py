"""What the nodes of a Ray cluster have: precision, a compiler, GPUs and the room on one of them."""

from collections.abc import Callable, Iterator
from typing import Any

import ray

from harness.executors.footprint import KEY, Footprint, GpuNode, gpu_memory, measure_footprint
from harness.executors.ray_cluster import connect, on_node
from harness.executors.ray_errors import last_line
from harness.executors.ray_slots import check_request
from harness.experiment.config import Experiment, TrialConfig
from harness.options import Options
from harness.trial.compute import check_compute
from saat.errors import InputError
from saat.wording import counted

_ANSWER_TIMEOUT_S = 120.0
_MEASURE_TIMEOUT_S = 3600.0  # long: other jobs may have all GPUs


def check_compute_on_nodes(experiment: Experiment) -> None:
    """Ask every node that can run trials whether it has their precision and compiler.

    Raises:
        InputError: a node cannot compute as asked, or does not answer.
    """
    resources, evaluation = experiment.resources, experiment.evaluation
    plain = resources.precision in ("auto", "fp32") and resources.compile == "none"
    if plain and evaluation.precision == "fp32":  # every device has them
        return
    kind, device = ("GPU", "cuda") if resources.gpus else ("CPU", "cpu")
    for _ in _answers("", kind, check_compute, resources, evaluation, device):
        pass


def measure_on_cluster(
    configs: list[TrialConfig], experiment: Experiment, options: Options
) -> tuple[Footprint, list[GpuNode]]:
    """Measure settings on a whole GPU of the cluster; returns the footprint, and nodes with GPUs.

    Raises:
        InputError: no node has a GPU, or enough CPUs beside it, or torch cannot use it; memory
            runs out.
    """
    connect(options.address)
    cpus, resources = experiment.resources.cpus_per_trial, experiment.resources
    nodes = []
    for name, offered, sizes in _answers(f"{KEY}: ", "GPU", gpu_memory):
        if len(sizes) < offered["GPU"]:
            raise InputError(
                f"{name}: Ray offers {counted(offered['GPU'], 'GPU')}, torch can use {len(sizes)}"
            )
        nodes.append(GpuNode(offered.get("CPU", 0.0), tuple(sizes)))
    if not nodes:
        raise InputError(f"{KEY}: no node has a GPU; 0")
    check_request(cpus, 1, options.autoscaling)
    task = ray.remote(measure_footprint).options(num_cpus=cpus, num_gpus=1, max_retries=0)
    running = task.remote(configs, experiment.evaluation, options.cache_dir, resources)
    return _answer(running, _MEASURE_TIMEOUT_S, f"{KEY}: a GPU"), nodes


def _answers(
    key: str, kind: str, function: Callable[..., Any], *arguments: Any
) -> Iterator[tuple[str, dict[str, float], Any]]:
    """Call a function on every node with a ``kind`` of resource: name, resources, result."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(kind, 0) > 0]
    tasks = [on_node(function, node["NodeID"]).remote(*arguments) for node in nodes]
    for node, task in zip(nodes, tasks, strict=True):
        name = f"{key}{node['NodeManagerAddress']}"
        yield name, node["Resources"], _answer(task, _ANSWER_TIMEOUT_S, name)


def _answer(task: Any, timeout_s: float, name: str) -> Any:
    """The result of a task on the worker of this ``name``."""
    try:
        return ray.get(task, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        raise InputError(f"{name}: no answer within {timeout_s:g} s") from None
    except ray.exceptions.RayError as error:
        cause, measured = getattr(error, "cause", None), name.startswith(KEY)
        if isinstance(cause, InputError):  # one of a measurement names the key itself
            raise InputError(str(cause) if measured else f"{name}: {cause}") from None
        hint = "; give a number" if measured else ""
        raise InputError(f"{name}: {last_line(error)}{hint}") from None
