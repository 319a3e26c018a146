"""The checks of ``saat preflight`` in their order, and their result as text and JSON."""

import io
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.filesize import decimal

from harness.experiment.config import Experiment
from harness.options import Options
from harness.preflight import findings
from harness.preflight.node import NodeReport, NodeRequest, report_node
from harness.preflight.shared_folder import shared_folder_check
from harness.preflight.tracker import ask_tracker
from harness.redaction import redacted
from harness.session.checks import check_folders, check_uri
from harness.session.wording import aligned

_COLUMNS = (
    "node", *findings.SAME_VERSION, "GPUs", "driver", "CPUs", "OMP", "data", "runs", "clock",
    "token", "free: runs", "cache",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The result of the checks; with failures, a search should not be started."""

    cluster: findings.Cluster
    tracker: str  # says that the tracker answers; empty if it does not
    failures: list[str]
    warnings: list[str]

    def text(self) -> str:
        """A table with a row for each node, then a line for everything else."""
        lines = aligned([_COLUMNS, *map(_row, self.cluster.nodes)])
        lines += [self.tracker] if self.tracker else []
        if self.cluster.trials:
            lines.append(f"trials at once: {self.cluster.trials}")
        lines += [f"warning: {line}" for line in self.warnings]
        return "\n".join(lines if self.failures else [*lines, "ok"])

    def content(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return {
            "ok": not self.failures,
            "failures": self.failures,
            "warnings": self.warnings,
            "trials": self.cluster.trials,
            "tracker": self.tracker,
            "driver": asdict(self.cluster.driver),
            "nodes": [asdict(node) for node in self.cluster.nodes],
        }


def preflight(experiment: Experiment | None, options: Options, timeout_s: float) -> Outcome:
    """Check the cluster at ``options.address``, or this machine alone.

    Without an experiment, neither data nor weights nor resources are checked. A node may take
    ``timeout_s`` seconds to answer.

    Raises:
        InputError: a folder, tracker or address is not usable.
        OSError: the folder of runs cannot be written.
    """
    check_folders(options)
    check_uri(options.tracking_uri)
    runs_dir = options.runs_dir.resolve()
    config, sections = None, None
    if experiment is not None:
        config, sections = experiment.config, (experiment.resources, experiment.evaluation)
    tracker, tracker_problem = ask_tracker(options.tracking_uri, runs_dir)
    with shared_folder_check(runs_dir) as shared:
        request = NodeRequest(shared, options.cache_dir, config, sections)
        if options.address:
            driver, nodes, departed = _cluster(request, options.address, timeout_s)
        else:
            driver = report_node(request, "driver")
            this = findings.Node(driver.host, driver.cpus, driver.gpus, driver, offset_s=0.0)
            nodes, departed = [this], []
    cpus, gpus, trials = 0, 0.0, None
    if experiment is not None:
        from harness.executors.ray_slots import slots_of_node

        cpus, gpus = experiment.resources.cpus_per_trial, experiment.resources.gpus
        trials = sum(slots_of_node({"CPU": n.cpus, "GPU": n.gpus}, cpus, gpus) for n in nodes)
    cluster = findings.Cluster(
        driver, nodes, departed, cpus, gpus, trials, options.autoscaling, tracker_problem,
        is_cluster=bool(options.address),
    )  # fmt: skip
    failures = [redacted(line) for line in findings.failures(cluster)]
    return Outcome(cluster, tracker, failures, findings.warnings(cluster))


def _cluster(
    request: NodeRequest, address: str, timeout_s: float
) -> tuple[NodeReport, list[findings.Node], list[str]]:
    import ray

    from harness.executors.ray_cluster import connect
    from harness.preflight.cluster import ask_nodes

    was_connected = ray.is_initialized()
    without = replace(request, sections=None)  # no trial runs in the driver's process
    # Ray prints messages about lost nodes there, which the findings name as well.
    with redirect_stdout(io.StringIO()):
        connect(address)
        try:
            return ask_nodes(request, timeout_s, lambda: report_node(without, "driver"))
        finally:
            if not was_connected:
                ray.shutdown()


def _row(node: findings.Node) -> tuple[str, ...]:
    report = node.report
    if report is None:
        return (node.name, "no answer")
    data = "-" if report.data is None else report.data.fingerprint[:8]
    problems = [*report.problems, *(line.partition(":")[0] for line in node.problems)]
    frees = [report.runs_free, report.cache_free]
    names = sorted(set(report.gpu_names))
    return (
        f"{node.name} {report.host}" if report.host != node.name else node.name,
        *(report.versions.get(package, "-") for package in findings.SAME_VERSION),
        f"{report.gpus}× {', '.join(names)}" if names else str(report.gpus),
        report.gpu_driver or "-",
        f"{node.cpus:g}",
        report.omp_threads or "-",
        "FAILED" if "data" in problems else data,
        "FAILED" if "runs" in problems else "ok",
        "-" if node.offset_s is None else f"{node.offset_s:+.2f} s",
        "on" if report.token else "off",
        *("-" if free is None else decimal(free) for free in frees),
    )
