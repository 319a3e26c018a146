"""The report of a node about itself: made on that node, without Ray."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from harness.experiment.config import TrialConfig
from harness.experiment.sections import EvaluationSection, ResourcesSection
from harness.files import writable_parent
from harness.preflight.shared_folder import SharedFolder, leave_token
from harness.provenance import versions
from harness.trial.compute import check_compute
from harness.trial.stages import trial_data
from saat.data import DATASETS, locate
from saat.data.folder import read_folder
from saat.data.store import checksum_of
from saat.data_source import default_cache_dir
from saat.errors import InputError, one_line
from saat.models import build_network

_PACKAGES = ("saat", "harness", "reports")
_SMI_TIMEOUT_S = 20


@dataclass(frozen=True)
class NodeRequest:
    """What a node has to report on."""

    shared_folder: SharedFolder  # made by the driver in the folder of runs
    cache_dir: str | None  # of decoded images; None for the node's own default
    config: TrialConfig | None = None  # the experiment's
    # Its resources and evaluation; None where no trial will run on the node.
    sections: tuple[ResourcesSection, EvaluationSection] | None = None


@dataclass(frozen=True)
class DataReport:
    """The experiment's data and weights on a node."""

    fingerprint: str  # of a folder of lists, without the pixels
    weights: str  # ``none``, ``imagenet``, or the SHA-256 of the file
    source_bytes: int  # of all image files; 0 for an embedded set
    to_decode: int  # bytes that decoding will add to the cache
    pixels: str = ""  # checksum of the decoded images; empty without them, or for an embedded set


@dataclass(frozen=True)
class NodeReport:
    """Facts about a node; JSON-able."""

    host: str
    versions: dict[str, str]  # of Python and packages
    code: str  # SHA-256 of the source files of this project
    gpus: int  # that torch can use
    gpu_names: list[str]  # that nvidia-smi lists
    gpu_driver: str  # NVIDIA's version; empty without one
    cpus: int  # that a process may use
    omp_threads: str  # OMP_NUM_THREADS; empty if it is not set
    token: bool  # whether Ray was started with token authentication
    runs_free: int | None  # bytes at the folder of runs; None if it is not usable
    cache_free: int | None  # bytes at the cache; None if it is not usable
    data: DataReport | None  # None without an experiment, or with a problem
    problems: dict[str, str] = field(default_factory=dict)  # of runs, cache and data: a sentence


def report_node(request: NodeRequest, name: str) -> NodeReport:
    """Report on this node; ``name`` is a file name that no other node uses."""
    problems: dict[str, str] = {}

    def checked(what: str, check: Callable[[], Any]) -> Any:
        try:
            return check()
        except (InputError, OSError, NotImplementedError) as error:
            problems[what] = one_line(error, 400)
        return None

    cache = Path(request.cache_dir) if request.cache_dir else default_cache_dir()
    config = request.config
    gpu_names, gpu_driver = _nvidia_smi()
    if sections := request.sections:
        checked("compute", lambda: _check_compute(*sections))
    return NodeReport(
        host=socket.gethostname(),
        versions=versions(),
        code=code_digest(),
        # Counted without a CUDA context, which would take memory from running trials.
        gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0,
        gpu_names=gpu_names,
        gpu_driver=gpu_driver,
        # macOS has no affinity.
        cpus=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        omp_threads=os.environ.get("OMP_NUM_THREADS", ""),
        token=os.environ.get("RAY_AUTH_MODE") == "token",
        runs_free=checked("runs", lambda: _runs_free(request.shared_folder, name)),
        cache_free=checked("cache", lambda: shutil.disk_usage(writable_parent(cache)).free),
        data=None if config is None else checked("data", lambda: _data(config, cache)),
        problems=problems,
    )


def _check_compute(resources: ResourcesSection, evaluation: EvaluationSection) -> None:
    device = "cuda" if resources.gpus else "cpu"
    if device == "cpu" or torch.cuda.is_available():  # a node without GPUs gets no trial
        check_compute(resources, evaluation, device)


def _runs_free(shared: SharedFolder, name: str) -> int:
    leave_token(shared, name)
    return shutil.disk_usage(shared.folder).free


def code_digest() -> str:
    """SHA-256 over the source files of this project; equal versions may be different code."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        folder = Path(str(import_module(package).__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _data(config: TrialConfig, cache: Path) -> DataReport:
    """Read the lists and check that every image file exists; decode nothing."""
    model, data = config.model, config.data
    if model.weights != "none":  # as the first trial there would
        build_network(model.backbone, model.weights, model.bits, data.image_size, seed=0)
    weights = config.identity()["model"]["weights"]
    entry = None if data.name is None else DATASETS[data.name]
    if entry is not None and entry.folder is None:
        return DataReport(trial_data(config, str(cache)).fingerprint, weights, 0, 0)
    found = read_folder(
        root=Path(str(data.path)) if data.name is None else locate(data.name, data.root),
        name=data.name,
        classes=None if entry is None else entry.classes,
        image_size=data.image_size,
        val_queries=data.val_queries,
        seed=data.seed,
        resize=data.resize,
    )
    images, channels, height, width = found.shape
    pixels = checksum_of(cache, found.key)
    to_decode = 0 if pixels else images * channels * height * width
    return DataReport(found.fingerprint, weights, found.source_bytes, to_decode, pixels)


def _nvidia_smi() -> tuple[list[str], str]:
    """Names of the GPUs that nvidia-smi lists, and the version of their driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return [], ""
    query = [command, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(  # noqa: S603
            query, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return [], ""
    rows = [line.split(", ", 1) for line in done.stdout.splitlines() if ", " in line]
    return [name for _, name in rows], rows[0][0] if rows else ""
