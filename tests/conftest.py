import gc
import os
import secrets

import torch
from hypothesis import settings

# Tests share few cores with whatever else runs; results must not depend on the number of threads
# and small nets are fastest on one.
torch.set_num_threads(1)

# Shared machines stall; a slow example is no failure. Derandomised: equal code, equal verdict.
settings.register_profile("saat", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("saat")

# Ray reads it once a process; whatever starts Ray later in this one must not have another.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def pytest_collection_finish() -> None:
    """What importing and collecting made is never garbage; looking through it takes 0.3 s each."""
    gc.collect()
    gc.freeze()
