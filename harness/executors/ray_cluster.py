"""Connecting to a Ray cluster, or starting Ray on this machine."""

import ctypes
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import ray
from ray._private import ray_constants, services, utils
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.redaction import redacted
from harness.search_stopped import SearchStopped
from saat.errors import InputError, one_line

_CONNECT_TIMEOUT_S = 10
# ray::RayLog::is_failure_signal_handler_installed_
SYSTEM_HANDLER = "_ZN3ray6RayLog36is_failure_signal_handler_installed_E"
_OBJECT_STORE_BYTES = 256 * 1024**2  # nothing large travels through Ray
_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A lost worker gets a line of our own, and its trial goes on.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # The search bounds the pending trials. Tune's own bound shows an autoscaler too little demand
    # (ray-project/ray#43451).
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",
    # Every result that matters is fetched; a task that died unfetched is no news.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
}


def connect(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine.

    Raises:
        InputError: no cluster answers at ``address``, or it is an address of Ray's client.
        SearchStopped: Ray does not start on this machine.
    """
    resolved = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    # Tune would run the search on another machine.
    if resolved and resolved.startswith("ray://"):
        raise InputError(
            f"--address {resolved}: not through Ray's client; run the driver on a node of the "
            "cluster: auto, or HOST:6379"
        )
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    # Tune's handler would swallow the first Ctrl-C (ray-project/ray#50358).
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        return
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        with ExitStack() as replaced:
            if address:
                given["address"] = address
                _check_listening(address)
            else:
                # Ray would write its token to the home folder, where other users may read it.
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
                # On Linux Ray listens on all interfaces; with its switch for macOS and Windows
                # only on 127.0.0.1.
                replaced.enter_context(_replaced(ray_constants, "ENABLE_RAY_CLUSTER", False))
                given |= {
                    "address": "local",  # whatever RAY_ADDRESS says
                    "num_cpus": cpus,
                    "include_dashboard": False,
                    "object_store_memory": _OBJECT_STORE_BYTES,
                }
            replaced.enter_context(_own_sigterm())
            ray.init(**given)
    except Exception as error:  # Ray raises a bare one if its node starts too slowly
        reason = one_line(redacted(error), 160)
        if address:
            raise InputError(f"--address {address}: no Ray cluster answers ({reason})") from None
        raise SearchStopped(
            f"Ray did not start on this machine ({reason}); try again with less running beside "
            "it, or without Ray: --executor inline"
        ) from None


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an attribute another value during the block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the driver's handler of SIGTERM; Ray would replace it (ray-project/ray#17308).

    Ray sets a handler in Python, and one in C++ that aborts the process after three seconds
    (ray-project/ray#64830). The C++ one is not set if Ray's flag says that it already is.
    """
    handler = signal.getsignal(signal.SIGTERM)
    with ExitStack() as replaced:
        replaced.enter_context(_replaced(utils, "set_sigterm_handler", lambda _: None))
        with suppress(ValueError):  # a Ray without that flag
            flag = ctypes.c_bool.in_dll(ctypes.CDLL(ray._raylet.__file__), SYSTEM_HANDLER)
            replaced.enter_context(_replaced(flag, "value", True))
        yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _check_listening(address: str) -> None:
    """Raise an :class:`OSError` if nothing listens at an address; Ray would try for minutes."""
    if address == "auto":
        address = services.get_ray_address_from_environment(address, None)
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()


def on_node(function: Callable[..., Any], node_id: str) -> Any:
    """``function`` as a task on a live node, even a busy one, that is run at most once.

    The task sees all GPUs and takes none.
    """
    return ray.remote(function).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        # Without it Ray hides the GPUs from a task that takes none.
        runtime_env={"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}},
    )
