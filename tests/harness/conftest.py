import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.tiny import shared_cache
from tests.reports.pictures import left_empty


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory):
    """Digits are composed once; the user's own cache stays as it is."""
    before = os.environ.get("SAAT_CACHE")
    yield shared_cache(tmp_path_factory)
    os.environ.pop("SAAT_CACHE")
    if before is not None:
        os.environ["SAAT_CACHE"] = before


@pytest.fixture(scope="module", autouse=True)
def quick_pictures() -> Iterator[None]:
    """Searches in this process write reports without pictures, which tests/reports looks at."""
    with left_empty():
        yield


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Commands leave handlers of their own behind."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of journals in one test: durability is not what it is about."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """Of what a test generates: always the same, or what ``--hypothesis-seed`` says."""
    return int(pytestconfig.getoption("--hypothesis-seed") or 0)
