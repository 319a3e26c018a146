"""What a node says about itself: runs on that node, and needs no Ray."""

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from harness.experiment.config import Setting
from harness.experiment.settings import parse_setting
from harness.files import writable_parent
from harness.preflight.shared_folder import SharedFolder, leave_token
from harness.provenance import versions
from harness.trial.trial import trial_data
from saat.data import DATASETS, locate
from saat.data.folder import read_folder
from saat.data.store import checksum_of
from saat.data_source import default_cache_dir
from saat.errors import InputError, one_line
from saat.models import build_network

_PACKAGES = ("saat", "harness", "reports")
_SMI_TIMEOUT_S = 20


@dataclass(frozen=True)
class Question:
    """What a node is asked to look at.

    Attributes:
        place: where driver and node meet in the folder of runs.
        cache_dir: node-local cache of decoded images; None for the node's own default.
        setting: of the experiment, as :meth:`harness.experiment.config.Setting.dump` gives it;
            None without an experiment.
    """

    place: SharedFolder
    cache_dir: str | None
    setting: dict[str, Any] | None


@dataclass(frozen=True)
class DataReport:
    """The experiment's data and weights as a node sees them.

    Attributes:
        fingerprint: of the data set; where it is a folder of lists, of all but the pixels.
        weights: ``none``, ``imagenet``, or the SHA-256 of the file of weights.
        source_bytes: bytes of all image files; 0 where the set is embedded.
        to_decode: bytes that the cache still has to take.
        pixels: checksum of the decoded images; empty where they are not decoded or embedded.
    """

    fingerprint: str
    weights: str
    source_bytes: int
    to_decode: int
    pixels: str = ""


@dataclass(frozen=True)
class NodeReport:
    """Facts of a node; JSON-able.

    Attributes:
        host: its name.
        versions: Python and packages.
        code: SHA-256 of the source files of this project.
        gpus: how many GPUs torch can use.
        gpu_names: of those that nvidia-smi lists.
        gpu_driver: version of NVIDIA's driver; empty where there is none.
        cpus: CPUs that a process may use.
        omp_threads: ``OMP_NUM_THREADS``; empty where not set.
        token: whether Ray was started with token authentication.
        runs_free: free bytes at the folder of runs; None where it cannot be seen.
        cache_free: the same of the cache.
        data: data and weights; None without an experiment, or where they have a problem.
        problems: a sentence per ``runs``, ``cache``, ``data`` that is not in order.
    """

    host: str
    versions: dict[str, str]
    code: str
    gpus: int
    gpu_names: list[str]
    gpu_driver: str
    cpus: int
    omp_threads: str
    token: bool
    runs_free: int | None
    cache_free: int | None
    data: DataReport | None
    problems: dict[str, str] = field(default_factory=dict)


def inspect_node(question: Question, name: str) -> NodeReport:
    """Look at this node.

    Args:
        question: what to look at.
        name: a file name of its own among the nodes that are asked.
    """
    problems: dict[str, str] = {}

    def tried(what: str, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except (InputError, OSError, NotImplementedError) as error:
            problems[what] = one_line(error, 400)
        return None

    cache = Path(question.cache_dir) if question.cache_dir else default_cache_dir()
    tried("runs", lambda: leave_token(question.place, name))
    cache_free = tried("cache", lambda: shutil.disk_usage(writable_parent(cache)).free)
    setting = question.setting
    data = None if setting is None else tried("data", lambda: _data(parse_setting(setting), cache))
    gpu_names, gpu_driver = _nvidia_smi()
    return NodeReport(
        host=socket.gethostname(),
        versions=versions(),
        code=code_digest(),
        # Counted without a context, which would take memory of the trials that run there.
        gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0,
        gpu_names=gpu_names,
        gpu_driver=gpu_driver,
        cpus=_usable_cpus(),
        omp_threads=os.environ.get("OMP_NUM_THREADS", ""),
        token=os.environ.get("RAY_AUTH_MODE") == "token",
        runs_free=None if "runs" in problems else shutil.disk_usage(question.place.folder).free,
        cache_free=cache_free,
        data=data,
        problems=problems,
    )


def code_digest() -> str:
    """SHA-256 over the source files of this project; equal versions may be different code."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        folder = Path(str(import_module(package).__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _data(setting: Setting, cache: Path) -> DataReport:
    """Read the lists and see every image file; only embedded sets are composed.

    Raises:
        InputError: the data, or the weights, are not there or not usable.
    """
    model, data = setting.model, setting.data
    if model.weights != "none":  # what the first trial there would do
        build_network(model.backbone, model.weights, model.bits, data.image_size, seed=0)
    weights = setting.identity()["model"]["weights"]
    entry = None if data.name is None else DATASETS[data.name]
    if entry is not None and entry.folder is None:
        return DataReport(trial_data(setting, str(cache)).fingerprint, weights, 0, 0)
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


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
