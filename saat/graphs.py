"""The inner maximisation of an adversarial training as one CUDA graph.

A PGD of a few steps on a small batch launches thousands of short kernels one by one, and the GPU
waits for Python between them. A graph launches all of them at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from saat.attacks.pgd import pgd
from saat.attacks.query_batches import frozen
from saat.errors import InputError
from saat.models import device_of
from saat.threat_model import ThreatModel


class GraphedPgd:
    """PGD that drives images away from codes, captured once and replayed for every batch.

    A replay uses the weights as they are then: an optimiser may change them in place, but moving
    the network or changing its mode needs a new object. Dropout draws new numbers from the GPU's
    default generator. The precision is the one in force at construction.

    Construction leaves the random generators as they were. The graph keeps the memory of one
    forward and backward pass for as long as it lives.

    Args:
        network: float images → pre-tanh features (B, K), on a GPU, in its final mode.
        shape: (B, 3, H, W), of every batch.
        bits: code length K.
        threat: the ball.
        steps: iterations T ≥ 0.
        step_size: η, in the norm of the ball.
        loss: features and codes, both (B, K) → what is minimised, of every image (B,).

    Raises:
        InputError: the network is not on a GPU.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int],
        bits: int,
        threat: ThreatModel,
        steps: int,
        step_size: float,
        loss: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        device = device_of(network)
        if device.type != "cuda":
            raise InputError(f"a CUDA graph needs CUDA; the network is on {device}")
        self._network, self._threat = network, threat
        self._steps, self._step_size, self._loss = steps, step_size, loss
        images = torch.zeros(tuple(shape), device=device)
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._codes = torch.ones(len(images), bits, device=device)
        self._start = torch.zeros_like(self._images)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.random.fork_rng(devices=[device]):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            # Libraries choose kernels and allocate workspaces in a first run, outside the capture.
            with torch.cuda.stream(stream):
                self._attack()
            # A thread that reads images may pin memory meanwhile (saat.reading).
            mode = "thread_local"
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode=mode):
                self._attacked = self._attack()

    def _attack(self) -> Tensor:
        with frozen(self._network):
            return pgd(
                self._network,
                self._images,
                lambda features, _: self._loss(features, self._codes),
                self._threat,
                self._steps,
                self._step_size,
                self._start,
                count_zeros=False,
            ).images

    @property
    def threat(self) -> ThreatModel:
        """The ball."""
        return self._threat

    @property
    def shape(self) -> torch.Size:
        """Shape of the batches that it was captured for."""
        return self._images.shape

    def __call__(self, images: Tensor, codes: Tensor, start: Tensor) -> Tensor:
        """Adversarial images; equal to :func:`saat.attacks.pgd.pgd` up to rounding.

        Args:
            images: float (B, 3, H, W) in [0, 1].
            codes: (B, K), what the loss compares features with.
            start: first iterate (B, 3, H, W).

        Returns:
            Adversarial float images (B, 3, H, W) in [0, 1].

        Raises:
            ValueError: a batch of another shape.
        """
        if images.shape != self.shape:
            raise ValueError(f"batch of shape {tuple(images.shape)}, not {tuple(self.shape)}")
        self._images.copy_(images)
        self._codes.copy_(codes)
        self._start.copy_(start)
        self._graph.replay()
        return self._attacked.clone()
