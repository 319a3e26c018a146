"""How a training computes: in which precision, and with what of it compiled.

Torch is imported inside the functions, because experiment files name these options and commands
that only read import no torch.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from saat.errors import InputError
from saat.precision import Precision, check_precision, computing, default_precision

if TYPE_CHECKING:
    import torch
    from torch import nn

    from saat.training import Training

# ``auto`` is TF32 where the device has it, otherwise float32.
AskedPrecision = Literal["auto", "fp32", "tf32", "bf16"]
ASKED_PRECISIONS: tuple[str, ...] = get_args(AskedPrecision)
# ``graphs``: the inner maximisation as a CUDA graph; ``inductor``: networks by ``torch.compile``.
Compile = Literal["none", "graphs", "inductor"]
COMPILES: tuple[str, ...] = get_args(Compile)

# Variants of one network: modes, gradients of images or of weights, batch sizes, precisions.
# Beyond its limit, 8 by default, torch would go on uncompiled.
VARIANTS = 64
# Which of torch's compilers makes code of a traced network.
BACKEND = "inductor"


@dataclass(frozen=True)
class Compute:
    """What a training really uses on its device: ``auto`` is resolved."""

    precision: Precision = "fp32"
    compile: Compile = "none"

    @classmethod
    def on(
        cls, device: "torch.device", precision: AskedPrecision = "auto", compile: Compile = "none"
    ) -> "Compute":
        """What is asked for, on a device; an ``InputError`` if it cannot do that."""
        chosen = default_precision(device) if precision == "auto" else precision
        found = cls(chosen, compile)
        found.check(device)
        return found

    def check(self, device: "torch.device") -> None:
        """Raise an InputError for what the device cannot do."""
        check_precision(self.precision, device)
        if self.compile == "graphs" and device.type != "cuda":
            raise InputError(f"compile: graphs: {device} has no CUDA graphs; none or inductor")
        if self.compile == "inductor" and (missing := _missing_compiler(device.type)):
            raise InputError(f"compile: inductor: {missing}; none")

    def running(self, device: "torch.device") -> AbstractContextManager[None]:
        """What a training is made and run in: see :func:`saat.precision.computing`."""
        return computing(self.precision, device)

    def prepare(self, network: "nn.Module") -> None:
        """Compile a network's forward pass at its first call, where that is asked for.

        Calls are compiled, gradients included, and not the module: state dict, type and copies are
        those of the plain one.
        """
        import torch

        if self.compile == "inductor":
            torch._dynamo.reset()  # what earlier networks of this process compiled are variants too
            torch._dynamo.config.recompile_limit = VARIANTS
            torch._dynamo.config.fail_on_recompile_limit_hit = True
            network.compile(backend=BACKEND, dynamic=False)

    def apply(self, training: "Training") -> None:
        """Let a training replay its inner maximisation where that is asked for."""
        if self.compile == "graphs":
            training.graphs = training.has_graphs

    def used(self, training: "Training | None") -> Compile:
        """What is compiled in a training: ``none`` where it has nothing that ``graphs`` replay."""
        if self.compile != "graphs" or (training is not None and training.graphs):
            return self.compile
        return "none"


@contextmanager
def uncompiled(network: "nn.Module") -> Iterator[None]:
    """Plain calls of a network and its parts: a compiled one need not see hooks set meanwhile."""
    found = [(part, part._compiled_call_impl) for part in network.modules()]
    for part, _ in found:
        part._compiled_call_impl = None
    try:
        yield
    finally:
        for part, call in found:
            part._compiled_call_impl = call


def _missing_compiler(kind: str) -> str:
    """What ``torch.compile`` lacks on a device of a kind; empty if nothing is known to be missing.

    On a GPU Triton compiles, and it builds its launcher in C.
    """
    import torch

    language, variable, names = "C++", "CXX", ["g++", "clang++", "c++"]
    if kind == "cuda":
        if not torch.utils._triton.has_triton():
            return "Triton is not there, or not for this GPU"
        language, variable, names = "C", "CC", ["cc", "gcc", "clang"]
    if named := os.environ.get(variable):
        names = [named]
    if any(map(shutil.which, names)):
        return ""
    return f"no {language} compiler ({', '.join(names)}; {variable} names another)"
