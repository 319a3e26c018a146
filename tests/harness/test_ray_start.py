"""Starting Ray: what fails is told in a line, and SIGTERM stays the driver's."""

import ctypes
import signal
from typing import Any
from unittest.mock import MagicMock

import pytest
import ray
from ray._private import utils

from harness.executors import ray_cluster
from harness.search_stopped import SearchStopped
from saat.errors import InputError
from tests.toy import raised

# Ray raises a bare Exception where its node is too slow.
TOO_SLOW = Exception(
    "The current node timed out during startup. This could happen because some of the raylet "
    "failed to startup or the GCS has become overloaded."
)


@pytest.fixture(autouse=True)
def no_ray_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.mark.parametrize(
    "error", [TOO_SLOW, TimeoutError("no GCS"), RuntimeError("no port"), OSError(24, "too many")]
)
def test_ray_that_does_not_start_is_told_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fails)
    line = raised(lambda: ray_cluster.connect(None), SearchStopped)
    assert line.startswith("Ray did not start on this machine (")
    assert str(error)[:30] in line
    assert line.endswith("without Ray: --executor inline")
    assert "\n" not in line


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: Any) -> None:
        raise TOO_SLOW

    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr("socket.create_connection", MagicMock())
    line = raised(lambda: ray_cluster.connect("host:6379"), InputError)
    assert line.startswith("--address host:6379: no Ray cluster answers (The current node timed")
    assert "\n" not in line


def test_rays_handlers_are_not_installed_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the two ways that Ray has, of which the second is known to its library alone."""
    library = ctypes.CDLL(ray._raylet.__file__)  # noqa: SLF001  the library whose flag is read
    noted = ctypes.c_bool.in_dll(library, ray_cluster.SYSTEM_HANDLER)
    before, seen = noted.value, []

    def init(**_: Any) -> None:
        utils.set_sigterm_handler(lambda *_: None)
        seen.append((signal.getsignal(signal.SIGTERM), noted.value))

    def own(*_: Any) -> None: ...

    signal.signal(signal.SIGTERM, own)
    monkeypatch.setattr(ray, "init", init)
    take = utils.set_sigterm_handler
    ray_cluster.connect(None)
    assert seen == [(own, True)]
    assert (utils.set_sigterm_handler, noted.value) == (take, before)
    assert signal.getsignal(signal.SIGTERM) == own
