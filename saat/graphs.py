"""The inner maximisation of an adversarial training as one CUDA graph.

A PGD of a few steps on a small batch launches thousands of short kernels one by one, and the GPU
waits for Python between them. A graph launches all of them at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from saat.errors import InputError


class GraphedAttack:
    """An attack on a batch, captured once and replayed for every batch of the same shape.

    A replay uses the weights as they are then: an optimiser may change them in place, but moving
    the network or changing its mode needs a new object. Dropout draws new numbers from the GPU's
    default generator. The precision is the one in force at construction.

    Construction leaves the random generators as they were. The graph keeps the memory of one
    forward and backward pass for as long as it lives. ``attack`` maps tensors like those of a first
    ``batch`` on a GPU, images (B, 3, H, W) first, to adversarial images.

    Raises:
        InputError: the batch is not on a GPU.
    """

    def __init__(self, attack: Callable[..., Tensor], *batch: Tensor) -> None:
        device = batch[0].device
        if device.type != "cuda":
            raise InputError(f"a CUDA graph needs CUDA; the batch is on {device}")
        self._batch, self._graph = [part.clone() for part in batch], torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.random.fork_rng(devices=[device]):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            # Libraries choose kernels and allocate workspaces in a first run, outside the capture.
            with torch.cuda.stream(stream):
                attack(*self._batch)
            # A thread that reads images may pin memory meanwhile (saat.reading).
            mode = "thread_local"
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode=mode):
                self._attacked = attack(*self._batch)

    @property
    def shape(self) -> torch.Size:
        """Shape of the images that it was captured for."""
        return self._batch[0].shape

    def __call__(self, *batch: Tensor) -> Tensor:
        """Adversarial images of a batch of that shape; equal to the attack's own up to rounding."""
        if batch[0].shape != self.shape:
            raise ValueError(f"batch of shape {tuple(batch[0].shape)}, not {tuple(self.shape)}")
        for kept, part in zip(self._batch, batch, strict=True):
            kept.copy_(part)
        self._graph.replay()
        return self._attacked.clone()
