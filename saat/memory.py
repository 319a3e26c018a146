"""Memory of a device: what running out of it looks like, and how work goes on in smaller parts."""

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from saat.errors import one_line

log = logging.getLogger(__name__)

T = TypeVar("T")

# Besides the exceptions of their own kind: PyTorch's allocator on the CPU, and CUDA's libraries.
_SIGNS = ("DefaultCPUAllocator", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
# CUDA's context and its libraries take about as much in every process, outside the allocator.
_CONTEXT_BYTES = 512 * 1024**2

allowed_share = 1.0  # share of its GPU that this process may take


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the memory of the device or of the machine ran out."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def release() -> None:
    """Give back what nothing refers to any more; after the handler of an exception, not in it.

    The exception's traceback holds the frames, and with them the tensors, that were too large.
    """
    gc.collect()
    torch.cuda.empty_cache()


def shrinking(run: Callable[[int], T], size: int) -> tuple[T, int]:
    """``run(size)`` and the size that fitted: half of it for as long as memory runs out, down to 1.

    The result of ``run`` must not depend on ``size``, the rows in a batch.
    """
    while True:
        try:
            return run(size), size
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            problem = one_line(error, 160)
        release()
        size = (size + 1) // 2
        log.warning("out of memory (%s): on with %d at once", problem, size)


def limit_share(device: torch.device, share: float) -> None:
    """Take at most ``share`` of a GPU, CUDA context included.

    So a process that needs more fails itself, and not its neighbours.
    """
    global allowed_share
    _, total = torch.cuda.mem_get_info(device)
    allowed_share = max(share - _CONTEXT_BYTES / total, share / 2)
    # This function wants a number: "cuda" is no device to it.
    number = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.set_per_process_memory_fraction(allowed_share, number)


def free_bytes(device: torch.device) -> int:
    """Bytes of a GPU that this process can still take, within its share."""
    free, total = torch.cuda.mem_get_info(device)
    return min(free, int(allowed_share * total) - torch.cuda.memory_reserved(device))
