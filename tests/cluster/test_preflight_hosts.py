"""Preflight on several hosts: what differs between them is seen, and a dead one is not waited for.

The hosts are network namespaces (:mod:`tests.cluster.hosts`); ``/tmp`` is each one's own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.hosts import Hosts, unavailable
from tests.harness.tiny import tiny_raw
from tests.saat.data.samples import splits, write_images, write_pairs

pytestmark = pytest.mark.timeout(1800)

ANSWERS_WITHIN_S = float(os.environ.get("SAAT_CLUSTER_TEST_S", "600"))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A head without places for trials and two workers."""
    if reason := unavailable():
        pytest.skip(f"no hosts here: {reason}")
    folder = tmp_path_factory.mktemp("shared")
    data = {"path": str(folder / "set"), "image_size": 16, "val_queries": 5}
    changes = {"data": data, "model.backbone": "small_cnn"}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny_raw(changes)))
    write_images(folder / "set", splits())
    write_pairs(folder / "set", splits())
    with Hosts(3, folder) as found:
        # A host that hangs stays in the cluster for minutes, and is asked.
        found.environment["RAY_health_check_failure_threshold"] = "40"
        found.start_head()
        found.start_worker(1)
        found.start_worker(2)
        yield found


def preflight(hosts: Hosts, runs_dir: str, *arguments: object, timeout_s: float = 300) -> Any:
    """Status and findings of the command on host 0."""
    command = [
        sys.executable, "-m", "harness", "preflight", str(hosts.shared / "tiny.yaml"), "--json",
        "--address", f"{hosts.address(0)}:6379", "--runs-dir", runs_dir,
        "--timeout", str(timeout_s), *map(str, arguments),
    ]  # fmt: skip
    pipe = subprocess.PIPE
    process = hosts.run(0, command, stdout=pipe, stderr=pipe, text=True)
    out, err = process.communicate(timeout=ANSWERS_WITHIN_S)
    assert out, err
    found = json.loads(out)
    assert err.splitlines() == [f"saat: {line}" for line in found["failures"]]
    return process.returncode, found


def test_hosts_that_share_what_they_must_are_in_order(hosts: Hosts) -> None:
    runs = hosts.shared / "runs"
    status, found = preflight(hosts, str(runs))
    assert (status, found["failures"], found["warnings"]) == (0, [], [])
    assert [node["name"] for node in found["nodes"]] == [hosts.address(i) for i in range(3)]
    assert [node["report"]["host"] for node in found["nodes"]] == ["host-0", "host-1", "host-2"]
    assert found["trials"] == 2
    assert len({node["report"]["data"]["fingerprint"] for node in found["nodes"]}) == 1
    assert not runs.exists()


def test_a_folder_of_runs_that_is_each_hosts_own_is_seen(hosts: Hosts) -> None:
    status, found = preflight(hosts, "/tmp/runs")
    assert status == 1
    said = "runs: /tmp/runs does not show what the driver wrote there"
    assert found["failures"] == [f"{hosts.address(i)}: {said}" for i in (1, 2)]


def test_data_that_differ_are_seen_on_the_host_that_has_them(hosts: Hosts) -> None:
    places = {host: f"/proc/{hosts.first[host]}/root/tmp/set" for host in range(3)}
    for place in places.values():
        shutil.copytree(hosts.shared / "set", place)
    Path(places[1], "images", "d3.png").write_bytes(b"")
    label = Path(places[2], "test_label.txt")
    label.write_text(label.read_text().replace("1 0 1", "1 1 1", 1))
    status, found = preflight(hosts, str(hosts.shared / "runs"), "--set", "data.path=/tmp/set")
    assert status == 1
    first, second = found["failures"]
    assert first.startswith(f"{hosts.address(1)}: data: image files of ")
    assert second.startswith(f"{hosts.address(2)}: data: fingerprint ")


def test_a_host_that_hangs_is_named_and_not_waited_for(hosts: Hosts) -> None:
    stopped = [pid for pid, title in hosts.processes(2).items() if "/raylet " in title]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        status, found = preflight(hosts, str(hosts.shared / "runs"), timeout_s=5)
        took = time.monotonic() - began
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert status == 1
    assert took < ANSWERS_WITHIN_S / 2
    assert f"{hosts.address(2)}: no answer within 5 s" in found["failures"]


def test_a_host_that_was_killed_is_told(hosts: Hosts) -> None:
    address = hosts.address(2)
    hosts.kill(2)
    until = time.monotonic() + ANSWERS_WITHIN_S
    told: list[str] = []
    while not told and time.monotonic() < until:
        _, found = preflight(hosts, str(hosts.shared / "runs"), timeout_s=10)
        told = [line for line in found["warnings"] if "have left" in line]
    assert told == [f"nodes that have left the cluster: {address}"]
    assert address not in [node["name"] for node in found["nodes"]]
