"""``resources.gpus_per_trial: auto``: as many trials on a GPU as fit, by measured memory.

Before a search starts, one process measures the memory of the largest batches of every stage, at
the longest code and the largest batch sizes of the space, for every backbone and method in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import ceil
from typing import Any

from harness.executors.footprint import KEY, Footprint, GpuNode, measure_here
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, corners
from harness.options import Options
from harness.search.plan import Plan
from saat.errors import InputError
from saat.wording import counted

_MARGIN = 1.2  # of memory
_MAX_TRIALS = 16  # on a GPU
# Of these keys of a space only the largest value is measured, of the others every value.
_LARGEST = ("model.bits", "pretrain.batch_size", "defense.batch_size", "defense.width")
_EACH = ("model.backbone", "defense.method")


def resolve_gpu_share(
    experiment: Experiment, plan: Plan, options: Options, say: Callable[[str], None]
) -> tuple[Experiment, dict[str, Any]]:
    """Replace ``auto`` by a number; returns the experiment, and JSON-able facts behind the number.

    Raises:
        InputError: there is no GPU, or the largest setting does not fit one.
    """
    resources = experiment.resources
    if resources.gpus_per_trial != "auto":
        return experiment, {}
    configs = settings_to_measure(experiment, plan)
    say(f"{KEY}: settings to measure on a GPU: {len(configs)}")
    measure = measure_here
    if options.executor == "ray":
        from harness.executors.ray_nodes import measure_on_cluster as measure
    found, nodes = measure(configs, experiment, options)
    trials = trials_per_gpu(found, nodes, resources.cpus_per_trial)
    share = 1 / trials
    smallest = min(min(node.memory) for node in nodes)
    say(
        f"{KEY}: {_gib(found.peak)} in {found.stage} ({found.setting}) and {_gib(found.context)} "
        f"of CUDA; {counted(trials, 'trial')} a GPU of {_gib(smallest)}: {share:g}"
    )
    resolved = resources.model_copy(update={"gpus_per_trial": share})
    packing = {**asdict(found), "smallest_gpu": smallest, "trials_per_gpu": trials}
    return experiment.model_copy(update={"resources": resolved}), packing


def trials_per_gpu(found: Footprint, nodes: Sequence[GpuNode], cpus_per_trial: int) -> int:
    """The most trials that fit the smallest GPU, and for which some node has the CPUs.

    Raises:
        InputError: not even one fits.
    """
    smallest = min(min(node.memory) for node in nodes)
    if found.bytes > smallest:
        raise InputError(
            f"{KEY}: {_gib(found.bytes)} in {found.stage} ({found.setting}), and the smallest GPU "
            f"has {_gib(smallest)}; lower batch_size or data.image_size"
        )
    by_memory = int(smallest / (_MARGIN * found.bytes))
    by_cpus = max(ceil(node.cpus // cpus_per_trial / len(node.memory)) for node in nodes)
    return max(1, min(by_memory, by_cpus, _MAX_TRIALS))


def settings_to_measure(experiment: Experiment, plan: Plan) -> list[TrialConfig]:
    """The settings of a search that may need most memory."""
    if plan == "compare":
        return [config_at(experiment, point) for point in experiment.compare.values()]
    points: dict[tuple[Any, ...], dict[str, Any]] = {(): {}}
    if plan == "search":
        space = experiment.space
        largest = {key: max(space[key].samples()) for key in _LARGEST if key in space}
        for corner in corners(experiment):
            point = {key: corner[key] for key in (*_LARGEST, *_EACH) if key in corner}
            if all(point[key] == value for key, value in largest.items() if key in point):
                points[tuple(point.items())] = point
        if len(points) > 1:
            del points[()]
    return [config_at(experiment, point) for point in points.values()]


def _gib(count: float) -> str:
    return f"{count / 2**30:.3g} GiB"
