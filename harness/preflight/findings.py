"""What is wrong with a cluster: a pure function of the reports of its nodes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.filesize import decimal

from harness.preflight.node import DataReport, NodeReport
from saat.wording import counted

SAME_VERSION = ("python", "torch", "torchvision", "ray", "saat-harness")
_MAX_CLOCK_OFFSET_S = 2.0
_MIN_FREE_BYTES = 10**9


@dataclass(frozen=True)
class Node:
    """A node of the cluster, with the CPUs and GPUs that it offers to trials."""

    name: str
    cpus: float
    gpus: float
    report: NodeReport | None  # None if it did not answer
    problems: list[str] = field(default_factory=list)  # found by the driver
    offset_s: float | None = None  # its clock minus the driver's; None if not measured
    accuracy_s: float = 0.0  # half of the round trip: the largest error of ``offset_s``


@dataclass(frozen=True)
class Cluster:
    """Everything that is checked."""

    driver: NodeReport  # with which the nodes are compared
    nodes: Sequence[Node]  # without a cluster, this machine
    departed: Sequence[str] = ()  # addresses of nodes that have left the cluster
    cpus_per_trial: int = 0  # 0 without an experiment
    gpus_per_trial: float = 0.0
    trials: int | None = None  # that fit at once; None without an experiment
    autoscaling: bool = False  # the cluster adds nodes by itself
    tracker: str = ""  # what is wrong with the tracker
    is_cluster: bool = True  # the nodes are those of ``--address``


def failures(cluster: Cluster) -> list[str]:
    """A line for everything that would make a search fail or change its numbers."""
    found = []
    # The driver reads the data in an environment of its own.
    if cluster.is_cluster:
        found += [f"driver: {what}: {why}" for what, why in cluster.driver.problems.items()]
    for node in cluster.nodes:
        found += [f"{node.name}: {line}" for line in _node_failures(cluster.driver, node)]
    if cluster.tracker:
        found.append(cluster.tracker)
    if cluster.trials == 0 and not cluster.autoscaling:
        cpus = max((node.cpus for node in cluster.nodes), default=0)
        gpus = max((node.gpus for node in cluster.nodes), default=0)
        found.append(
            f"resources: {counted(cluster.cpus_per_trial, 'CPU')} and "
            f"{counted(cluster.gpus_per_trial, 'GPU')} per trial fit on no node; the most are "
            f"{counted(cpus, 'CPU')} and {counted(gpus, 'GPU')}"
        )
    return found


def _node_failures(driver: NodeReport, node: Node) -> Iterator[str]:
    report = node.report
    yield from node.problems
    if report is None:
        return
    for package in SAME_VERSION:
        version, other = report.versions.get(package), driver.versions.get(package)
        if version != other:
            yield f"{package} {version or 'is missing'}; the driver has {other}"
    same_version = report.versions.get("saat-harness") == driver.versions.get("saat-harness")
    if same_version and report.code != driver.code:
        yield "its saat-harness is other code than the driver's, of the same version"
    if node.gpus > report.gpus:
        yield f"Ray offers {counted(node.gpus, 'GPU')}, torch can use {report.gpus}"
    yield from (f"{what}: {why}" for what, why in report.problems.items())
    own, free = report.data, report.cache_free
    if own is not None and driver.data is not None:
        yield from _data_failures(own, driver.data)
    if own is not None and free is not None and own.to_decode > free:
        yield f"cache: {decimal(own.to_decode)} to decode, {decimal(free)} free"


def _data_failures(own: DataReport, drivers: DataReport) -> Iterator[str]:
    if own.fingerprint != drivers.fingerprint:
        yield (
            f"data: fingerprint {own.fingerprint[:10]}; the driver's is "
            f"{drivers.fingerprint[:10]}: other lists or labels"
        )
    elif own.source_bytes != drivers.source_bytes:
        yield (
            f"data: image files of {own.source_bytes} bytes in all; the driver's have "
            f"{drivers.source_bytes}"
        )
    elif own.pixels and drivers.pixels and own.pixels != drivers.pixels:
        yield "data: decoded images differ from the driver's: other files, or another Pillow"
    if own.weights != drivers.weights:
        yield "data: model.weights is another file than the driver's"


def warnings(cluster: Cluster) -> list[str]:
    """A line for everything that may slow a search down or surprise its user."""
    answered = [(node, node.report) for node in cluster.nodes if node.report is not None]
    found = [
        f"{node.name}: {line}"
        for node, report in answered
        for line in _node_warnings(cluster.cpus_per_trial, node, report)
    ]
    if cluster.departed:
        found.append(f"nodes that have left the cluster: {', '.join(cluster.departed)}")
    drivers = {report.gpu_driver for _, report in answered if report.gpu_driver}
    if len(drivers) > 1:
        found.append(f"GPU drivers differ between nodes: {', '.join(sorted(drivers))}")
    without = [node.name for node, report in answered if not report.token]
    if cluster.is_cluster and without:
        found.append(
            f"Ray asks for no token on {', '.join(without)}: whoever reaches its ports runs code "
            "there; RAY_AUTH_MODE=token for every ray start"
        )
    return found


def _node_warnings(cpus_per_trial: int, node: Node, report: NodeReport) -> Iterator[str]:
    if node.offset_s is None:
        yield "its clock could not be compared with the driver's"
    elif abs(node.offset_s) - node.accuracy_s > _MAX_CLOCK_OFFSET_S:
        yield f"its clock is {node.offset_s:+.1f} s from the driver's (± {node.accuracy_s:.1f} s)"
    if node.cpus > report.cpus:
        yield f"Ray offers {counted(node.cpus, 'CPU')}, a process may use {report.cpus}"
    if report.gpu_names and not report.gpus:
        yield f"nvidia-smi lists {counted(len(report.gpu_names), 'GPU')}, torch can use none"
    threads = report.omp_threads
    if cpus_per_trial and threads.isdigit() and int(threads) > cpus_per_trial:
        yield f"OMP_NUM_THREADS={threads}, but a trial has {counted(cpus_per_trial, 'CPU')}"
    for what, free in (("runs", report.runs_free), ("cache", report.cache_free)):
        if free is not None and free < _MIN_FREE_BYTES:
            yield f"{what}: only {decimal(free)} free"
