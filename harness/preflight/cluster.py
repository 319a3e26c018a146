"""Reports of all nodes of a Ray cluster: tasks without CPUs, so that busy nodes answer as well."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ray

from harness.executors.ray_cluster import on_node
from harness.executors.ray_errors import last_line
from harness.preflight.findings import Node
from harness.preflight.node import DataReport, NodeReport, NodeRequest, report_node
from harness.preflight.shared_folder import check_token

_PINGS = 3
_PING_TIMEOUT_S = 20.0  # a worker process may have to start, which takes long on a busy node


def ask_nodes(
    request: NodeRequest, timeout_s: float, report_driver: Callable[[], NodeReport]
) -> tuple[NodeReport, list[Node], list[str]]:
    """Ask every live node of the cluster that this process is connected to.

    A node that takes longer than ``timeout_s`` counts as one that does not answer. Returns the
    driver's report, the nodes, and the addresses of nodes that have left the cluster.
    """
    known = ray.nodes()
    alive = [entry for entry in known if entry["Alive"]]
    addresses = Counter(entry["NodeManagerAddress"] for entry in alive)
    departed = {entry["NodeManagerAddress"] for entry in known} - addresses.keys()
    began = time.monotonic()
    tasks = {
        entry["NodeID"]: on_node(_report, entry["NodeID"]).remote(request, entry["NodeID"])
        for entry in alive
    }
    driver = report_driver()
    left = max(1.0, timeout_s - (time.monotonic() - began))
    ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=left)
    nodes = []
    for entry in alive:
        node_id, name, offered = entry["NodeID"], entry["NodeManagerAddress"], entry["Resources"]
        if addresses[name] > 1:
            name += f"#{node_id[:6]}"
        report, problems = _answer(tasks[node_id], timeout_s)
        clock: tuple[float | None, float] = (None, 0.0)
        if report is not None:
            if "runs" not in report.problems:  # it has written its file
                problems += check_token(request.shared_folder, node_id)
            clock = _clock_offset(node_id)
        cpus, gpus = offered.get("CPU", 0.0), offered.get("GPU", 0.0)
        nodes.append(Node(name, cpus, gpus, report, problems, *clock))
    return driver, sorted(nodes, key=lambda node: node.name), sorted(departed)


def _report(request: NodeRequest, name: str) -> dict[str, Any]:
    return asdict(report_node(request, name))


def _now() -> float:
    return time.time()


def _answer(task: Any, timeout_s: float) -> tuple[NodeReport | None, list[str]]:
    """A node's report, or why there is none."""
    try:
        content = ray.get(task, timeout=0)
        data = content["data"] and DataReport(**content["data"])
        return NodeReport(**content | {"data": data}), []
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        return None, [f"no answer within {timeout_s:g} s"]
    except (ray.exceptions.RayError, TypeError) as error:
        return None, [f"could not be asked: {last_line(error)}"]


def _clock_offset(node_id: str) -> tuple[float | None, float]:
    """A node's clock minus ours in seconds, and the largest error of that.

    The node's clock is read within a round trip; the shortest of several counts.
    """
    best: tuple[float | None, float] = (None, float("inf"))
    for _ in range(_PINGS):
        sent, started = time.time(), time.monotonic()
        try:
            there = ray.get(on_node(_now, node_id).remote(), timeout=_PING_TIMEOUT_S)
        except ray.exceptions.RayError:
            break
        half = (time.monotonic() - started) / 2
        if half < best[1]:
            best = (there - (sent + half), half)
    return best
