"""Slots for trials on a Ray cluster: how many trials fit at once."""

import logging
import time
from collections.abc import Mapping, Sequence

import ray

from saat.errors import InputError
from saat.wording import counted

log = logging.getLogger(__name__)
_RECOUNT_S = 3


class SlotCounter:
    """Counts the slots for trials of this size every few seconds; warns when there are none."""

    def __init__(self, cpus: int, gpus: float) -> None:
        self._cpus, self._gpus = cpus, gpus
        self._count, self._due = 1, 0.0

    def count(self) -> int:
        """Number of slots, a few seconds old at most."""
        if time.monotonic() >= self._due:
            before = self._count
            self._count = sum(slots_of_node(it, self._cpus, self._gpus) for it in _offered())
            self._due = time.monotonic() + _RECOUNT_S
            if before and not self._count:
                of_trial = f"{counted(self._cpus, 'CPU')} and {counted(self._gpus, 'GPU')}"
                log.warning("no node has %s for a trial now: waiting for one", of_trial)
        return self._count


def check_request(cpus: int, gpus: float, autoscaling: bool = False) -> int:
    """Count the trials of this size that fit on the cluster at once now.

    Raises:
        InputError: one fits on no node (Tune would wait for ever), and the cluster adds no nodes
            by itself, which may be larger.
    """
    offered = _offered()
    fitting = sum(slots_of_node(it, cpus, gpus) for it in offered)
    if fitting < 1 and not autoscaling:
        raise request_error(cpus, gpus, offered)
    return fitting


def request_error(cpus: int, gpus: float, nodes: Sequence[Mapping[str, float]]) -> InputError:
    """The error for a trial that fits on none of the nodes with these resources."""
    most_cpus, most_gpus = (max(has.get(k, 0) for has in nodes) for k in ("CPU", "GPU"))
    return InputError(
        f"resources: {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')} per trial, but the "
        f"largest node offers {counted(most_cpus, 'CPU')} and {counted(most_gpus, 'GPU')}; if "
        "the cluster adds larger ones by itself: --autoscaling"
    )


def resources_here() -> dict[str, float]:
    """Resources that Ray would offer on this machine, without starting it."""
    gpus = ray._private.accelerators.NvidiaGPUAcceleratorManager
    visible = gpus.get_current_process_visible_accelerator_ids()
    count = gpus.get_current_node_num_accelerators() if visible is None else len(visible)
    return {"CPU": ray._private.utils.get_num_cpus(), "GPU": count}


def slots_of_node(offered: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Count the trials that fit at once on a node with these resources."""
    by_cpu = offered.get("CPU", 0) // cpus
    if not gpus:
        return int(by_cpu)
    there = offered.get("GPU", 0)
    # A fraction of a GPU cannot span two.
    by_gpu = there // gpus if gpus >= 1 else int(there) * int(1 / gpus + 1e-9)
    return int(min(by_cpu, by_gpu))


def _offered() -> list[Mapping[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
