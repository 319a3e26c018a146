"""Derived seeds: every epoch, query and suggestion gets a seed of its own.

Nothing has to carry the state of a random generator from one step to the next, so a run that is
killed and restored repeats an undisturbed one exactly.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part and on their order (SHA-256)."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded with :func:`derive_seed` of ``parts``."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def numpy_generator(seed: int) -> np.random.Generator:
    """NumPy's generator of many values from one seed, which take it less time than torch's."""
    return np.random.Generator(np.random.PCG64(seed))


def seed_torch(*parts: int | str) -> None:
    """Seed torch's global generators (dropout, initialisation), CPU and CUDA."""
    torch.manual_seed(derive_seed(*parts))


@contextmanager
def drawing_from(*parts: int | str) -> Iterator[None]:
    """Draw initial weights on the CPU from a seed of their own; the global state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(*parts))
        yield
