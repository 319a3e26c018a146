import gc
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from harness.tracking import store

# Tests share few cores with whatever else runs; results must not depend on the number of threads
# and small nets are fastest on one.
torch.set_num_threads(1)

# Shared machines stall; a slow example is no failure. Derandomised: equal code, equal verdict.
settings.register_profile("saat", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("saat")

# Ray reads it once a process; whatever starts Ray later in this one must not have another.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@pytest.fixture(scope="module")
def quick_collection() -> None:
    """For tests of scarce memory, which is collected again and again: what is there now stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Receipts of the runs that tests begin, in processes of their own too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def tracking_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes its tables, 50 migrations, once a process; later stores get a copy of them.

    Searches in processes of their own, which have no fixtures, always have MLflow make them.
    """
    make = store.write_tables
    made = tmp_path_factory.mktemp("tracking") / "made.db"

    def copied(path: Path) -> None:
        if not made.exists():
            make(made)
        shutil.copyfile(made, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "write_tables", copied)
        yield
