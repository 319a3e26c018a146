"""The GPUs of a Ray cluster: how large they are, and what a trial takes of one."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ray

from harness.executors.footprint import KEY, Footprint, GpuNode, footprint, gpu_memory
from harness.executors.ray_cluster import check_request, connect, last_line, on_node
from harness.experiment.config import Experiment, Setting
from harness.experiment.sections import EvaluationSection
from harness.options import Options
from harness.trial.interface import decode, encode
from saat.errors import InputError
from saat.wording import counted

_ANSWER_S = 120.0
_MEASURE_S = 3600.0  # a GPU that others use is waited for


def measured_on_cluster(
    settings: list[Setting],
    experiment: Experiment,
    options: Options,
    measure: Callable[..., Footprint] = footprint,
    memory: Callable[[], tuple[int, ...]] = gpu_memory,
) -> tuple[Footprint, list[GpuNode]]:
    """What the settings take on a GPU of the cluster, and the GPUs of all its nodes.

    Args:
        settings: to measure.
        experiment: resources and protocol.
        options: how the cluster is reached.
        measure: run on a worker with a GPU to itself.
        memory: run on every node with GPUs.

    Raises:
        InputError: no node has a GPU, or enough CPUs beside it, or torch cannot use it; memory
            runs out.
    """
    connect(options.address)
    cpus = experiment.resources.cpus_per_trial
    nodes = _gpu_nodes(memory)
    check_request(cpus, 1, options.autoscaling)
    task = ray.remote(_measured).options(num_cpus=cpus, num_gpus=1, max_retries=0)
    asked = task.remote(
        measure,
        [encode(setting) for setting in settings],
        encode(experiment.evaluation),
        options.cache_dir,
        cpus,
    )
    found = _answer(asked, _MEASURE_S, "a GPU")
    if "problem" in found:
        raise InputError(found["problem"])
    return Footprint(**found), nodes


def _gpu_nodes(memory: Callable[[], tuple[int, ...]]) -> list[GpuNode]:
    offering = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("GPU", 0) >= 1]
    if not offering:
        raise InputError(f"{KEY}: no node has a GPU; 0")
    asked = [on_node(memory, node["NodeID"]).remote() for node in offering]
    found = []
    for node, answer in zip(offering, asked, strict=True):
        name, offered = node["NodeManagerAddress"], node["Resources"]
        sizes = _answer(answer, _ANSWER_S, name)
        if len(sizes) < offered["GPU"]:
            raise InputError(
                f"{KEY}: {name}: Ray offers {counted(offered['GPU'], 'GPU')}, "
                f"torch can use {len(sizes)}"
            )
        found.append(GpuNode(offered.get("CPU", 0.0), tuple(sizes)))
    return found


def _measured(
    measure: Callable[..., Footprint], settings: list[str], evaluation: str, *more: Any
) -> dict[str, Any]:
    """In a worker; what is the user's to mend comes back in words, without a traceback."""
    try:
        decoded = [decode(Setting, text) for text in settings]
        return asdict(measure(decoded, decode(EvaluationSection, evaluation), *more))
    except InputError as error:
        return {"problem": str(error)}


def _answer(asked: Any, timeout_s: float, whom: str) -> Any:
    try:
        return ray.get(asked, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(asked, force=True)
        raise InputError(f"{KEY}: {whom}: no answer within {timeout_s:g} s") from None
    except ray.exceptions.RayError as error:
        raise InputError(f"{KEY}: {whom}: {last_line(error)}; give a number") from None
