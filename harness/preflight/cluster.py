"""Asking every node of a Ray cluster, busy ones too: tasks of no CPU, pinned to their node."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ray

from harness.executors.ray_cluster import last_line, on_node
from harness.preflight.findings import Node
from harness.preflight.node import DataReport, NodeReport, Question, inspect_node
from harness.preflight.shared_folder import check_token

_PINGS = 3
_PING_TIMEOUT_S = 5.0


def ask_nodes(
    question: Question, timeout_s: float, meanwhile: Callable[[], NodeReport]
) -> tuple[NodeReport, list[Node], list[str]]:
    """Ask every live node of the cluster that this process is connected to.

    Args:
        question: the same for all.
        timeout_s: how long to wait for answers; who has not answered then is told so.
        meanwhile: what the driver says of itself.

    Returns:
        The driver's report, the nodes, and addresses whose nodes have left the cluster.
    """
    known = ray.nodes()
    alive = [entry for entry in known if entry["Alive"]]
    gone = {e["NodeManagerAddress"] for e in known} - {e["NodeManagerAddress"] for e in alive}
    began = time.monotonic()
    asked = {
        entry["NodeID"]: on_node(_inspect, entry["NodeID"]).remote(question, entry["NodeID"])
        for entry in alive
    }
    driver = meanwhile()
    left = max(1.0, timeout_s - (time.monotonic() - began))
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=left)
    names = _names(alive)
    nodes = []
    for entry in alive:
        node_id, offered = entry["NodeID"], entry["Resources"]
        report, problems = _answer(asked[node_id], timeout_s)
        offset, accuracy = None, 0.0
        if report is not None:
            problems += [said for said in [_missed(question, node_id, report)] if said]
            offset, accuracy = _clock(node_id)
        cpus, gpus = offered.get("CPU", 0.0), offered.get("GPU", 0.0)
        nodes.append(Node(names[node_id], cpus, gpus, report, problems, offset, accuracy))
    return driver, sorted(nodes, key=lambda node: node.name), sorted(gone)


def _names(alive: list[dict[str, Any]]) -> dict[str, str]:
    """Address of every node, with the beginning of its id where two have the same."""
    twice = Counter(entry["NodeManagerAddress"] for entry in alive)
    return {
        entry["NodeID"]: entry["NodeManagerAddress"]
        + (f"#{entry['NodeID'][:6]}" if twice[entry["NodeManagerAddress"]] > 1 else "")
        for entry in alive
    }


def _inspect(question: Question, name: str) -> dict[str, Any]:
    return asdict(inspect_node(question, name))


def _now() -> float:
    return time.time()


def _answer(asked: Any, timeout_s: float) -> tuple[NodeReport | None, list[str]]:
    """A node's report, or why there is none."""
    try:
        content = ray.get(asked, timeout=0)
        data = content.pop("data")
        return NodeReport(**content, data=None if data is None else DataReport(**data)), []
    except ray.exceptions.GetTimeoutError:
        ray.cancel(asked, force=True)
        return None, [f"no answer within {timeout_s:g} s"]
    except (ray.exceptions.RayError, TypeError) as error:
        return None, [f"could not be asked: {last_line(error)}"]


def _missed(question: Question, node_id: str, report: NodeReport) -> str:
    """What the driver does not see of a node that says it has written."""
    said = "" if "runs" in report.problems else check_token(question.place, node_id)
    return f"runs: {said}" if said else ""


def _clock(node_id: str) -> tuple[float | None, float]:
    """A node's clock minus ours in seconds, and how far off that can be.

    Of several round trips the shortest counts; the node's clock was read somewhere within it.
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
