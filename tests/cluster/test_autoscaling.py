"""A cluster that has no node for a trial yet, and adds one when a trial waits for it.

Ray's autoscaler is real; its machines are fake nodes on the one host.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.journal.journal import read
from harness.journal.state import SearchState
from tests.cluster.hosts import Hosts, unavailable
from tests.harness.tiny import tiny_raw

pytestmark = pytest.mark.timeout(1200)

EXPERIMENT = tiny_raw(
    {
        "name": "grown",
        "search": {"num_samples": 1, "scheduler": "none"},
        "confirm": {"max_configs": 0},
        "resources": {"cpus_per_trial": 2},
    }
)
HEAD = "ray.head.default"  # as Ray's fake cloud calls it
MACHINES: dict[str, Any] = {
    HEAD: {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
    "larger": {
        "resources": {"CPU": 2, "object_store_memory": 100 * 10**6},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    },
}
FAKE_CLOUD: dict[str, Any] = {
    "cluster_name": "fake",
    "max_workers": 2,
    "provider": {"type": "fake_multinode", "fake_multinode": True},
    "available_node_types": MACHINES,
    "head_node_type": HEAD,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 1.0,
    **{key: {} for key in ("auth", "docker", "file_mounts")},
    **{key: [] for key in ("cluster_synced_files", "initialization_commands", "setup_commands")},
    **{f"{node}_setup_commands": [] for node in ("head", "worker")},
    **{f"{node}_start_ray_commands": [] for node in ("head", "worker")},
}


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hosts, str, Path]]:
    """A head with one CPU, whose autoscaler can add nodes with two."""
    if reason := unavailable():
        pytest.skip(f"no hosts here: {reason}")
    folder = tmp_path_factory.mktemp("shared")
    (folder / "grown.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    (folder / "cloud.yaml").write_text(yaml.safe_dump(FAKE_CLOUD))
    with Hosts(1, folder) as hosts:
        hosts.environment |= {
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "0",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        }
        address = hosts.start_head(1, f"--autoscaling-config={folder / 'cloud.yaml'}")
        yield hosts, address, folder


def search(growing: tuple[Hosts, str, Path], *more: str) -> tuple[int, str]:
    """Exit status and output of a search on the cluster."""
    hosts, address, folder = growing
    command = [sys.executable, "-m", "harness", "search", str(folder / "grown.yaml")]
    command += ["--address", address, "--runs-dir", str(folder / "runs"), *more]
    pipe = subprocess.PIPE
    process = hosts.run(0, command, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


def test_a_request_that_no_node_meets_is_refused(growing: tuple[Hosts, str, Path]) -> None:
    status, output = search(growing)
    assert status == 2
    assert "2 CPUs and 0 GPUs per trial, but the largest node offers 1 CPU" in output
    assert "--autoscaling" in output
    assert not (growing[2] / "runs" / "grown").exists()


def test_told_of_the_autoscaler_a_search_waits_for_the_nodes(
    growing: tuple[Hosts, str, Path],
) -> None:
    status, output = search(growing, "--autoscaling", "--max-concurrent", "2")
    assert status == 0, output
    assert "2 wanted, 0 fit now" in output
    events = read(growing[2] / "runs" / "grown" / "events.jsonl")
    trials = SearchState(events).trials.values()
    assert [record.status for record in trials] == ["completed", "completed"]
