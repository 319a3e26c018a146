"""Batches of images for a network, read by a thread while the network works."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from saat.stopwatch import Stage, stage

T = TypeVar("T")

Batches = Generator[Tensor, None, None]


def batches_for(device: torch.device, read: Callable[[T], Tensor], parts: Sequence[T]) -> Batches:
    """What ``read`` returns for every part, in order; close the generator to end it early.

    For a GPU a thread reads the next batch meanwhile, into pinned memory, which is copied to the
    device asynchronously. A network on the CPU needs the cores itself: there is no thread then.
    """
    if device.type != "cuda":
        return (read(part) for part in parts)

    def pinned(part: T) -> Tensor:
        with torch.cuda.device(device):
            images = read(part)
            return images if images.is_pinned() else images.pin_memory()

    return read_ahead(pinned, parts)


def read_ahead(read: Callable[[T], Tensor], parts: Sequence[T]) -> Batches:
    """``read`` of every part, in order, by a thread that is one part ahead.

    An exception of ``read`` reaches the caller in its turn. The thread ends with the generator:
    after the last part, with an exception, or when it is closed.
    """
    with ThreadPoolExecutor(1, "saat-images") as thread:
        coming = (thread.submit(read, part) for part in parts)
        ahead = next(coming, None)
        while (batch := ahead) is not None:
            ahead = next(coming, None)
            with stage(Stage.WAITING_FOR_DATA):
                images = batch.result()
            yield images
