"""The GPUs of a Ray cluster: how large they are, and what a trial takes of one."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.config import Experiment, Setting
from harness.executors.ray_cluster import connect
from harness.experiment import parse_setting
from harness.options import Options
from harness.packing import KEY, Footprint, GpuNode, footprint, gpu_memory
from saat.errors import InputError, one_line

_ANSWER_S = 120.0
_MEASURE_S = 3600.0  # a GPU that others use is waited for
# Without it a task of no GPU sees none of its node's.
_SEES_GPUS = {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}


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
        InputError: no node has a GPU, or one that torch cannot use; memory runs out.
    """
    connect(options.address)
    nodes = _gpu_nodes(memory)
    cpus = experiment.resources.cpus_per_trial
    task = ray.remote(_measured).options(num_cpus=cpus, num_gpus=1, max_retries=0)
    asked = task.remote(
        measure,
        [setting.dump() for setting in settings],
        experiment.evaluation.model_dump(),
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
    asked = []
    for node in offering:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(memory).options(
            num_cpus=0, max_retries=0, scheduling_strategy=here, runtime_env=_SEES_GPUS
        )
        asked.append(task.remote())
    found = []
    for node, answer in zip(offering, asked, strict=True):
        name, offered = node["NodeManagerAddress"], node["Resources"]
        sizes = _answer(answer, _ANSWER_S, name)
        if len(sizes) < offered["GPU"]:
            raise InputError(
                f"{KEY}: {name}: Ray offers {offered['GPU']:g} GPUs, torch can use {len(sizes)}"
            )
        found.append(GpuNode(offered.get("CPU", 0.0), tuple(sizes)))
    return found


def _measured(measure: Callable[..., Footprint], settings: list[Any], *more: Any) -> dict[str, Any]:
    """In a worker; what is the user's to mend comes back in words, without a traceback."""
    try:
        return asdict(measure([parse_setting(raw) for raw in settings], *more))
    except InputError as error:
        return {"problem": str(error)}


def _answer(asked: Any, timeout_s: float, whom: str) -> Any:
    try:
        return ray.get(asked, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(asked, force=True)
        raise InputError(f"{KEY}: {whom}: no answer within {timeout_s:g} s") from None
    except ray.exceptions.RayError as error:
        # A traceback of the worker, whose last line is the error itself.
        reason = one_line(str(error).strip().splitlines()[-1], 160)
        raise InputError(f"{KEY}: {whom}: {reason}; give a number") from None
