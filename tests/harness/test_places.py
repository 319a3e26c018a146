"""Slots for trials on unequal nodes, and the share of a GPU's memory that a trial may use."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.executors import ray_cluster, ray_slots
from harness.executors.ray_errors import last_line
from harness.options import Options
from harness.session import session
from harness.trial.interface import FinalReport
from harness.trial.trial import run_trial
from saat import memory
from saat.errors import InputError
from saat.wording import counted
from tests.harness.tiny import context_of, spec_of, tiny
from tests.toy import raised

GIB = 2**30


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "trials"),
    [
        ([(8, 2)], 1, 0.25, 8),
        ([(8, 2), (2, 4)], 1, 0.25, 10),  # the second has CPUs for two
        ([(8, 2), (64, 0)], 1, 0.5, 4),  # a head without GPUs takes none
        ([(3, 1), (5, 1)], 2, 0.5, 3),
        ([(8, 1), (8, 2)], 1, 2, 1),
        ([(8, 1), (8, 0)], 4, 1 / 3, 2),
        ([(4, 0), (1, 0)], 2, 0, 2),
    ],
)
def test_slots_on_unequal_nodes(
    nodes: list[tuple[int, int]],
    cpus: int,
    gpus: float,
    trials: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [{"Alive": True, "Resources": {"CPU": c, "GPU": g}} for c, g in nodes]
    listed.append({"Alive": False, "Resources": {"CPU": 99, "GPU": 99}})
    monkeypatch.setattr("ray.nodes", lambda: listed)
    assert ray_slots.check_request(cpus, gpus) == trials


@pytest.mark.parametrize(("cpus", "gpus"), [(4, 0.25), (1, 2), (9, 0), (5, 1)])
def test_what_no_node_can_ever_place_is_refused(
    cpus: int, gpus: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node has CPUs, another GPUs; together they would do."""
    offered = [{"CPU": 8, "GPU": 0}, {"CPU": 3, "GPU": 1}]
    listed = [{"Alive": True, "Resources": resources} for resources in offered]
    monkeypatch.setattr("ray.nodes", lambda: listed)
    line = raised(lambda: ray_slots.check_request(cpus, gpus), InputError)
    assert line.startswith(
        f"resources: {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')} per trial, but"
    )


@pytest.mark.parametrize(
    ("given", "gpus", "executor", "share"),
    [
        ("1/4", 0.25, "ray", 0.25),
        ("1/4", 0.25, "inline", 1.0),
        (0, 0.0, "ray", 1.0),
        (1, 1.0, "ray", 1.0),
        (2, 2.0, "ray", 1.0),
        ("auto", 1.0, "ray", 1.0),
    ],
)
def test_a_trial_may_take_its_share_of_the_memory(
    given: Any, gpus: float, executor: Any, share: float, runs_dir: Path
) -> None:
    experiment = tiny({"resources.gpus_per_trial": given})
    assert experiment.resources.gpus == gpus
    options = Options(runs_dir, executor=executor)
    context = session.trial_context(experiment, options, runs_dir, "cuda", "data")
    assert context.gpu_share == share
    assert context.data_fingerprint == "data"


def test_an_address_of_rays_client_is_refused_also_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for address in ("ray://host:10001", "auto"):
        monkeypatch.setenv("RAY_ADDRESS", "ray://host:10001")
        line = raised(lambda: ray_cluster.connect(address), InputError)  # noqa: B023
        assert line.startswith("--address ray://host:10001: not through Ray's client; ")


def test_the_last_line_of_an_error_says_something_and_no_secret() -> None:
    assert last_line(RuntimeError()) == "RuntimeError"
    told = "Traceback\n  in task\nOSError: http://me:secret@host\n\n"
    assert last_line(told) == "OSError: http://***@host"


def test_less_than_ray_can_count_is_refused() -> None:
    line = raised(lambda: tiny({"resources.gpus_per_trial": 0.00001}), InputError)
    assert line.endswith("gpus_per_trial: 1e-05: at least 0.0001, or 0")


def test_a_trial_limits_itself_to_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited: list[tuple[str, float]] = []
    monkeypatch.setattr(memory, "limit_share", lambda on, share: limited.append((str(on), share)))
    experiment = tiny({"defense": {"method": "none"}, "space": {}})
    context = context_of(experiment, tmp_path)
    list(run_trial(spec_of(experiment), context))
    assert limited == []
    spec = spec_of(experiment, seed=1)
    *_, final = run_trial(spec, replace(context, gpu_share=0.25))
    assert isinstance(final, FinalReport)
    assert limited == [("cpu", 0.25)]


def test_the_share_pays_for_the_context_and_bounds_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device, limits = torch.device("cuda"), []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (12 * GIB, 16 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: GIB)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *given: limits.append(given)
    )
    monkeypatch.setattr(memory, "allowed_share", 1.0)
    assert memory.free_bytes(device) == 12 * GIB
    memory.limit_share(device, 0.25)
    memory.limit_share(torch.device("cuda:1"), 0.25)
    share = 0.25 - 0.5 / 16
    assert limits == [(share, 0), (share, 1)]  # "cuda" without a number is refused there
    assert memory.free_bytes(device) == (4 - 0.5 - 1) * GIB
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (GIB, 16 * GIB))
    assert memory.free_bytes(device) == GIB  # neighbours took the rest
