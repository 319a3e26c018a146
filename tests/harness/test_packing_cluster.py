"""``gpus_per_trial: auto`` on a Ray cluster, whose GPUs are not there."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.placement_group import placement_group, remove_placement_group

from harness.executors import ray_nodes
from harness.executors.footprint import Footprint, gpu_memory
from harness.executors.packing import resolve_gpu_share
from harness.executors.ray_nodes import measure_on_cluster
from harness.experiment.config import TrialConfig
from harness.options import Options
from harness.session.checks import executor_of_run
from saat.errors import InputError
from tests.harness.test_packing import AUTO, GIB, silent
from tests.harness.tiny import tiny
from tests.toy import raised

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("two_gpus")]


def bits_as_memory(configs: list[TrialConfig], *more: Any) -> Footprint:
    """Stands in for :func:`harness.executors.footprint.measure_footprint` on a worker."""
    assert os.environ["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    evaluation, _, resources = more
    assert evaluation.attacks == ["mainstay", "hag"]
    assert resources.cpus_per_trial == 2
    return Footprint(max(s.model.bits for s in configs) * GIB, GIB, "evaluation", "fake")


def out_of_reach(*_: Any) -> Footprint:
    raise InputError("resources.gpus_per_trial: auto: out of memory")


def broken(*_: Any) -> Footprint:
    raise ZeroDivisionError("of nothing")


def two_of_48_gib() -> tuple[int, ...]:
    return (48 * GIB, 48 * GIB)


@pytest.fixture(scope="module")
def two_gpus() -> Iterator[None]:
    """Ray with six CPUs and two GPUs that are not there."""
    ray.init(
        address="local",
        num_cpus=6,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


@pytest.fixture
def measured_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Any], None]:
    """Sets what measures a trial on a worker, and the GPUs of a node."""

    def stand_in(measure: Any, memory: Any) -> None:
        monkeypatch.setattr(ray_nodes, "measure_footprint", measure)
        monkeypatch.setattr(ray_nodes, "gpu_memory", memory)

    return stand_in


def test_a_cluster_measures_on_a_worker_with_a_gpu(
    runs_dir: Path, measured_by: Callable[[Any, Any], None]
) -> None:
    measured_by(bits_as_memory, two_of_48_gib)
    options = Options(runs_dir)
    space = {"model.bits": {"choice": [4, 12]}}
    experiment = tiny({**AUTO, "resources.cpus_per_trial": 2, "space": space})
    settled, told = resolve_gpu_share(experiment, "search", options, silent)
    # 13 GiB and a fifth: three on 48, but three trials' CPUs for two GPUs feed two each.
    assert told["trials_per_gpu"] == 2
    assert settled.resources.gpus == 0.5
    assert executor_of_run(settled, options, silent)[1] == 3


@pytest.mark.parametrize(
    ("measure", "memory", "problem"),
    [
        (bits_as_memory, gpu_memory, r"[\d.]+: Ray offers 2 GPUs, torch can use 0"),
        (out_of_reach, two_of_48_gib, "out of memory"),
        (broken, two_of_48_gib, "a GPU: ZeroDivisionError: of nothing; give a number"),
    ],
)
def test_what_goes_wrong_on_a_worker_is_one_line(
    runs_dir: Path,
    measured_by: Callable[[Any, Any], None],
    measure: Any,
    memory: Any,
    problem: str,
) -> None:
    measured_by(measure, memory)
    line = raised(lambda: measure_on_cluster([], tiny(AUTO), Options(runs_dir)), InputError)
    assert re.fullmatch(f"resources.gpus_per_trial: auto: {problem}", line)


def test_more_cpus_than_any_node_has_are_not_waited_for(
    runs_dir: Path, measured_by: Callable[[Any, Any], None]
) -> None:
    measured_by(bits_as_memory, two_of_48_gib)
    experiment = tiny({**AUTO, "resources.cpus_per_trial": 7})
    line = raised(lambda: measure_on_cluster([], experiment, Options(runs_dir)), InputError)
    assert "the largest node offers 6 CPUs and 2 GPUs" in line


def test_a_cluster_without_gpus_is_refused(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}]
    monkeypatch.setattr("harness.executors.ray_nodes.ray.nodes", lambda: nodes)
    line = raised(
        lambda: resolve_gpu_share(tiny(AUTO), "search", Options(runs_dir), silent), InputError
    )
    assert line == "resources.gpus_per_trial: auto: no node has a GPU; 0"


@pytest.mark.parametrize("trials", [3, 6, 7, 9, 16])
def test_ray_places_n_trials_of_the_nth_part_of_a_gpu(trials: int) -> None:
    groups = [placement_group([{"GPU": 1 / trials}]) for _ in range(2 * trials)]
    try:
        ray.get([group.ready() for group in groups], timeout=60)
        # What is left over is no room for another one.
        assert ray.available_resources().get("GPU", 0.0) < 2 / trials
    finally:
        for group in groups:
            remove_placement_group(group)
