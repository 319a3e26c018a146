"""Origin of a result: versions, git revision, data, machine; no environment variables."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from harness.experiment.config import Experiment
from harness.experiment.protocols import validation_top_k
from harness.redaction import redacted
from saat.data import RetrievalData
from saat.registry import contributing_packages

_PACKAGES = (
    "saat-harness", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "pandas",
)  # fmt: skip


def provenance(
    experiment: Experiment, data: RetrievalData, device: str, formula_versions: Mapping[str, int]
) -> dict[str, Any]:
    """JSON-able facts about the software, the data and the machine of a run.

    ``formula_versions`` are those above 1 (:mod:`harness.journal.protocol_identity`).
    """
    # The driver of a cluster need not have the GPU that its workers have.
    here = device == "cuda" and torch.cuda.is_available()
    gpu = torch.cuda.get_device_name() if here else None
    parts = {part: len(getattr(data, part)) for part in ("train", "database", "validation", "test")}
    rows = len(data.validation_database)
    part = experiment.validation.part_of(rows)
    return {
        "versions": versions(),
        "formula_versions": dict(formula_versions),
        "git_revision": _revision(),
        "command": command(),
        "data": {
            "name": data.name,
            "label": data.label,
            "fingerprint": data.fingerprint,
            "lists_sha256": dict(data.lists_sha256),
            **parts,
            "classes": data.classes,
        },
        # What validation queries search after an epoch, and to which depth.
        "validation": {
            "database": rows,
            "searched": part,
            "top_k": validation_top_k(experiment.evaluation.top_k, part, rows),
        },
        "machine": {"platform": platform.platform(), "device": device, "gpu": gpu},
    }


def versions() -> dict[str, str]:
    """Python, the packages that results depend on, and those that bring entries of a registry."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *contributing_packages()):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def command() -> str | None:
    """The command line of this process without credentials; None if it is no command of saat."""
    program = Path(sys.argv[0] or "-")
    if program.name != "saat" and program.parts[-2:] != ("harness", "__main__.py"):
        return None
    return redacted(shlex.join(["saat", *sys.argv[1:]]))


def _revision() -> str | None:
    """The git revision of this code, with ``-dirty`` where it was changed."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
