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
    """Counts the slots of the cluster again every few seconds; warns when there are none.

    Args:
        cpus: of a trial.
        gpus: of a trial.
    """

    def __init__(self, cpus: int, gpus: float) -> None:
        self._cpus, self._gpus = cpus, gpus
        self._count, self._due = 1, 0.0

    def count(self) -> int:
        """Number of slots, a few seconds old at most."""
        if time.monotonic() >= self._due:
            before, self._count = self._count, count_slots(self._cpus, self._gpus)
            self._due = time.monotonic() + _RECOUNT_S
            if before and not self._count:
                of_trial = f"{counted(self._cpus, 'CPU')} and {counted(self._gpus, 'GPU')}"
                log.warning("no node has %s for a trial now: waiting for one", of_trial)
        return self._count


def check_request(cpus: int, gpus: float, autoscaling: bool = False) -> int:
    """Count the trials that fit at once now.

    Args:
        cpus: of one trial.
        gpus: of one trial.
        autoscaling: whether the cluster adds nodes by itself; they may be larger than today's.

    Raises:
        InputError: one trial fits on no node (Tune would wait for ever).
    """
    fitting = count_slots(cpus, gpus)
    if fitting < 1 and not autoscaling:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        raise request_error(cpus, gpus, nodes)
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


def count_slots(cpus: int, gpus: float) -> int:
    """Count the trials that fit on the live nodes at once."""
    return sum(
        slots_of_node(node["Resources"], cpus, gpus) for node in ray.nodes() if node["Alive"]
    )


def slots_of_node(offered: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Count the trials that fit at once on a node with these resources."""
    by_cpu = offered.get("CPU", 0) // cpus
    by_gpu = _gpu_slots(offered.get("GPU", 0), gpus) if gpus else by_cpu
    return int(min(by_cpu, by_gpu))


def _gpu_slots(offered: float, wanted: float) -> int:
    """Trials that fit on the GPUs of a node; a fraction of a GPU cannot span two."""
    if wanted >= 1:
        return int(offered // wanted)
    return int(offered) * int(1 / wanted + 1e-9)
