"""Limit the CPU threads of a process to those of its trial, in every pool."""

import os
from contextlib import suppress

import torch
from threadpoolctl import threadpool_limits

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def bound_threads(count: int) -> None:
    """Allow ``count`` threads in each pool: torch's two, and those of BLAS and OpenMP.

    The environment variables are for libraries loaded later, and for child processes.
    """
    for variable in _VARIABLES:
        os.environ[variable] = str(count)
    threadpool_limits(count)
    torch.set_num_threads(count)
    with suppress(RuntimeError):  # torch allows this only once, before its pool runs
        torch.set_num_interop_threads(count)
