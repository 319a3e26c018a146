"""CPU threads of a trial: bounded in every pool, in this process and in Ray's workers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_limits

from harness.trial.trial import run_trial
from tests.harness.tiny import context_of, spec_of, tiny

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

# As a process finds itself that nobody has bounded: pools of three threads.
UNBOUNDED = """
import json, os
import numpy, torch
from threadpoolctl import threadpool_info, threadpool_limits
threadpool_limits(3)
torch.set_num_threads(3)
from tests.harness.test_threads import pools
from harness.trial.compute import bound_threads
before = pools()
bound_threads(2)
bound_threads(2)  # torch's second pool is bounded once a process, and no error afterwards
print(json.dumps([before, pools()]))
"""


def pools() -> dict[str, Any]:
    """Threads of every pool that is loaded, and what later ones will find."""
    from threadpoolctl import threadpool_info

    return {
        "torch": torch.get_num_threads(),
        "torch between operations": torch.get_num_interop_threads(),
        **{pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()},
        **{variable: os.environ.get(variable) for variable in VARIABLES},
    }


@pytest.mark.slow
def test_every_pool_of_a_process_is_bounded() -> None:
    free = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    ran = subprocess.run(
        [sys.executable, "-c", UNBOUNDED], env=free, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    before, after = json.loads(ran.stdout)
    assert {"openblas", "openmp"} <= set(before)
    assert before["torch"] == before["openblas"] == 3
    assert {key: after[key] for key in before if key not in VARIABLES} == {
        key: 2 for key in before if key not in VARIABLES
    }
    assert {after[variable] for variable in VARIABLES} == {"2"}


@pytest.mark.slow
def test_a_trial_bounds_its_threads(tmp_path: Path) -> None:
    changes = {"defense": {"method": "none"}, "space": {}, "resources.cpus_per_trial": 2}
    experiment = tiny(changes)
    context = context_of(experiment, tmp_path)
    was = torch.get_num_threads(), {key: os.environ.get(key) for key in VARIABLES}
    threadpool_limits(3)
    try:
        list(run_trial(spec_of(experiment), context))
        found = pools()
        assert found["torch"] == found["openblas"] == 2
        assert found["OMP_NUM_THREADS"] == "2"
    finally:
        torch.set_num_threads(was[0])
        threadpool_limits(was[0])
        for key, value in was[1].items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


def bounded_pools() -> dict[str, Any]:
    from harness.trial.compute import bound_threads

    bound_threads(1)
    return pools()


@pytest.mark.ray
def test_a_worker_of_ray_has_no_more_threads_than_cpus() -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
    )
    try:
        found = ray.get(ray.remote(num_cpus=1)(bounded_pools).remote())
    finally:
        ray.shutdown()
    threads = {key: value for key, value in found.items() if key not in VARIABLES}
    assert {"openblas", "openmp"} <= set(threads)
    assert set(threads.values()) == {1}
