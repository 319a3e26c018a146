"""Whether the nodes of a Ray cluster have the precision and the compiler that trials ask for."""

import ray

from harness.executors.ray_cluster import on_node
from harness.executors.ray_errors import last_line
from harness.experiment.config import Experiment
from harness.experiment.sections import EvaluationSection, ResourcesSection
from harness.trial.compute import check_compute
from harness.trial.interface import decode, encode
from saat.errors import InputError

_ANSWER_TIMEOUT_S = 120.0


def check_compute_on_nodes(experiment: Experiment) -> None:
    """Ask every node that can run trials of the experiment.

    Raises:
        InputError: a node cannot compute as asked, or does not answer.
    """
    resources, evaluation = experiment.resources, experiment.evaluation
    plain = resources.precision in ("auto", "fp32") and resources.compile == "none"
    if plain and evaluation.precision == "fp32":  # every device has them
        return
    device = "cuda" if resources.gpus else "cpu"
    kind = "GPU" if resources.gpus else "CPU"
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(kind, 0) > 0]
    texts = encode(resources), encode(evaluation), device
    tasks = [on_node(problem_with_compute, node["NodeID"]).remote(*texts) for node in nodes]
    for node, task in zip(nodes, tasks, strict=True):
        name = node["NodeManagerAddress"]
        try:
            problem = ray.get(task, timeout=_ANSWER_TIMEOUT_S)
        except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
            raise InputError(f"{name}: could not be asked: {last_line(error)}") from None
        if problem:
            raise InputError(f"{name}: {problem}")


def problem_with_compute(resources: str, evaluation: str, device: str) -> str:
    """What is wrong on this node with encoded sections of an experiment; empty if nothing is."""
    sections = decode(ResourcesSection, resources), decode(EvaluationSection, evaluation)
    try:
        check_compute(*sections, device)
    except InputError as error:
        return str(error)
    return ""
