"""In which precision a device computes: full float32, TensorFloat-32, or bfloat16.

Torch is imported inside the functions, because experiment files name precisions and commands that
only read import no torch.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal, get_args

from saat.errors import InputError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# The first GPUs with TensorFloat-32 are NVIDIA's Ampere generation.
_TF32_CAPABILITY = (8, 0)


_autocast = False  # whether hashing networks compute in bfloat16


@contextmanager
def computing(
    precision: Precision, device: "torch.device", benchmark: bool = True
) -> Iterator[None]:
    """Compute in a precision; afterwards everything is as it was before.

    - ``fp32``: float32 products and convolutions.
    - ``tf32``: float32 numbers, whose products and convolutions are computed in TF32.
    - ``bf16``: hashing networks compute in bfloat16, the rest as in ``tf32``. Weights and features
      stay in float32. Losses and retrieval are left alone: their products count, and bfloat16
      cannot count beyond 256.

    On a GPU cuDNN also times its convolutions and takes the fastest, which may be another one in
    another process; with ``benchmark`` False it does not. All of this belongs to the process, not
    to the thread. Call :func:`check_precision` before.
    """
    import torch

    global _autocast
    # These two are older than `fp32_precision`. PyTorch refuses a mixture of old and new flags.
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.allow_tf32, cudnn.benchmark, _autocast
    on_gpu = device.type == "cuda"
    tf32 = on_gpu and precision != "fp32"
    try:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        cudnn.allow_tf32, cudnn.benchmark = tf32, on_gpu and benchmark
        _autocast = precision == "bf16"
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        cudnn.allow_tf32, cudnn.benchmark, _autocast = before


def autocast(device: "torch.device") -> AbstractContextManager[object]:
    """What a network's forward pass runs in: bfloat16 where :func:`computing` says so.

    A flag of the process decides and not torch's autocast alone, which belongs to a thread:
    autograd recomputes parts of a batch in threads of its own.
    """
    import torch

    return torch.autocast(device.type, torch.bfloat16) if _autocast else nullcontext()


def check_precision(precision: Precision, device: "torch.device") -> None:
    """An ``InputError`` for TF32 on a CPU or an older GPU, and for bfloat16 on an older GPU."""
    import torch

    if precision == "tf32" and not _has_tf32(device):
        raise InputError(
            f"precision: tf32: {device} has no TF32 (NVIDIA Ampere and newer have); use fp32"
        )
    if precision == "bf16" and device.type == "cuda":
        with torch.cuda.device(device):
            supported = torch.cuda.is_bf16_supported(including_emulation=False)
        if not supported:
            raise InputError(f"precision: bf16: {device} has no bfloat16; use fp32")


def default_precision(device: "torch.device") -> Precision:
    """TF32 where the device has it, otherwise float32."""
    return "tf32" if _has_tf32(device) else "fp32"


def _has_tf32(device: "torch.device") -> bool:
    import torch

    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= _TF32_CAPABILITY
