"""What a trial computes with, and whether a device has what an experiment asks for."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from harness.experiment.config import Experiment
from harness.experiment.sections import EvaluationSection, ResourcesSection
from harness.trial.interface import TrialContext
from harness.trial.records import read_record, record_of, write_record
from saat.compute import Compute
from saat.errors import InputError
from saat.precision import check_precision, default_precision

_FILE = "compute.json"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_Stored = record_of(Compute)


def compute_of_trial(folder: Path, context: TrialContext) -> Compute:
    """Precision and compilation of the trial in ``folder``, kept there from its beginning on.

    Another node may have another kind of GPU; a trial never changes its precision on the way.

    Raises:
        InputError: this device cannot do it, or the trial's file is damaged.
    """
    device, path = torch.device(context.device), folder / _FILE
    if not path.exists():
        try:
            resources = context.resources
            compute = Compute.on(device, resources.precision, resources.compile)
        except InputError as error:
            raise InputError(f"{socket.gethostname()}: resources.{error}") from None
        write_record(path, vars(compute))
        return compute
    began = Compute(**read_record(path, _Stored))
    try:
        began.check(device)
    except InputError as error:
        raise InputError(
            f"{socket.gethostname()}: the trial began with precision {began.precision}, compile "
            f"{began.compile}, and keeps them: {error}"
        ) from None
    return began


def check_compute(resources: ResourcesSection, evaluation: EvaluationSection, device: str) -> None:
    """Refuse precision and compilation that a ``device`` of this machine does not have.

    Raises:
        InputError: what it lacks.
    """
    place, section = torch.device(device), "resources"
    try:
        Compute.on(place, resources.precision, resources.compile)
        section = "evaluation"
        check_precision(evaluation.precision, place)
    except InputError as error:
        raise InputError(f"{section}.{error}") from None


def compute_facts(experiment: Experiment, device: str) -> dict[str, Any]:
    """JSON-able: what an experiment asks for, and what ``auto`` is here, where here is a device."""
    resources, here = experiment.resources, None
    if device == "cpu" or torch.cuda.is_available():
        here = default_precision(torch.device(device))
    return {
        "precision": resources.precision,
        "auto_here": here,
        "compile": resources.compile,
        "evaluation_precision": experiment.evaluation.precision,
    }


def bound_threads(count: int) -> None:
    """Allow ``count`` threads in each pool: torch's two, and those of BLAS and OpenMP.

    The environment variables are for libraries loaded later, and for child processes.
    """
    for variable in _THREADS:
        os.environ[variable] = str(count)
    threadpool_limits(count)
    torch.set_num_threads(count)
    with suppress(RuntimeError):  # torch allows this only once, before its pool runs
        torch.set_num_interop_threads(count)
