"""The Ray cluster that trials run on: how it is reached, and how many of them fit."""

import ctypes
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services, utils
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.redaction import redacted
from harness.search_stopped import SearchStopped
from saat.errors import InputError, one_line
from saat.wording import counted

_KNOCK_S = 10
# ray::RayLog::is_failure_signal_handler_installed_
_SYSTEM_HANDLER = "_ZN3ray6RayLog36is_failure_signal_handler_installed_E"
_OBJECT_STORE_BYTES = 256 * 1024**2  # nothing large travels through Ray


def connect(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine.

    Raises:
        InputError: no cluster answers at ``address``, or it is that of Ray's client.
        SearchStopped: Ray does not start on this machine.
    """
    meant = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    if meant and meant.startswith("ray://"):  # the search would be pickled to another machine
        raise InputError(
            f"--address {meant}: not through Ray's client; run the driver on a node of the "
            "cluster: auto, or HOST:6379"
        )
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # A trial whose worker is lost is told in a line of our own, and is no error yet.
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    # How many trials wait for a place is the search's to say; one alone would start a large
    # cluster's workers one after another, and show an autoscaler too little.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "1000000")
    # What matters is fetched, its failure told in a line of our own; the task of a dead node that
    # was not waited for is no news.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    # The driver has its own handlers for both signals; Tune's would swallow the first Ctrl-C.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address:
            _knock(address)
            with _sigterm_kept():
                ray.init(address=address, **quiet)
        else:
            with _kept_to_this_machine(), _sigterm_kept():
                ray.init(
                    address="local",  # whatever RAY_ADDRESS says
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    **quiet,
                )
    except Exception as error:  # a node that is too slow to start is a bare one
        reason = one_line(redacted(error), 160)
        if address:
            raise InputError(f"--address {address}: no Ray cluster answers ({reason})") from None
        raise SearchStopped(
            f"Ray did not start on this machine ({reason}); try again with less running beside "
            "it, or without Ray: --executor inline"
        ) from None


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """SIGTERM stays the driver's: Ray would exit on it while it starts, and later abort.

    Ray sets a handler of Python, and its core worker one of the system, which nothing but the
    worker's own note that it did so keeps away.
    """
    on_term = signal.getsignal(signal.SIGTERM)
    take = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        with _flag_set(_SYSTEM_HANDLER):
            yield
    finally:
        utils.set_sigterm_handler = take
    if threading.current_thread() is threading.main_thread():  # of a Ray without that note
        signal.signal(signal.SIGTERM, on_term)


@contextmanager
def _flag_set(symbol: str) -> Iterator[None]:
    """Keep a flag of Ray's library set; without such a flag nothing is done."""
    try:
        flag = ctypes.c_bool.in_dll(ctypes.CDLL(ray._raylet.__file__), symbol)
    except ValueError:
        yield
        return
    flag.value, before = True, flag.value
    try:
        yield
    finally:
        flag.value = before


@contextmanager
def _kept_to_this_machine() -> Iterator[None]:
    """A Ray that is started here listens on 127.0.0.1 alone, and its token is in no file.

    On Linux Ray binds all interfaces, for one machine too; other systems' switch is taken. The
    token that it would write to the home folder is readable by all under the usual umask.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _knock(address: str) -> None:
    """See that something listens there; Ray itself would try for minutes.

    Raises:
        OSError: nothing does, or there is no cluster that ``auto`` could mean.
    """
    if address == "auto":
        address = services.get_ray_address_from_environment(address, None)
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()


def on_node(function: Callable[..., Any], node_id: str) -> Any:
    """``function`` as a task of that very node, busy or not; it sees the GPUs without taking one.

    Args:
        function: run there at most once.
        node_id: of a live node.
    """
    here = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(function).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=here,
        # Without it a task of no GPU sees none of its node's.
        runtime_env={"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}},
    )


def last_line(error: object) -> str:
    """The error itself: what stands last in the traceback that Ray tells of a worker."""
    lines = str(error).strip().splitlines()
    return one_line(redacted(lines[-1] if lines else type(error).__name__), 160)


def check_request(cpus: int, gpus: float, autoscaling: bool = False) -> int:
    """How many trials fit at once, now.

    Args:
        cpus: of one trial.
        gpus: of one trial.
        autoscaling: whether the cluster adds nodes by itself, of kinds that it does not show.

    Raises:
        InputError: no node can ever place one trial (Tune would wait for ever).
    """
    fitting = places(cpus, gpus)
    if fitting < 1 and not autoscaling:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        raise request_error(cpus, gpus, nodes)
    return fitting


def request_error(cpus: int, gpus: float, nodes: Sequence[Mapping[str, float]]) -> InputError:
    """The error of a trial that none of the nodes, by their resources, can ever place."""
    most_cpus, most_gpus = (max(has.get(k, 0) for has in nodes) for k in ("CPU", "GPU"))
    return InputError(
        f"resources: {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')} per trial, but the "
        f"largest node offers {counted(most_cpus, 'CPU')} and {counted(most_gpus, 'GPU')}; if "
        "the cluster adds larger ones by itself: --autoscaling"
    )


def resources_here() -> dict[str, float]:
    """What a Ray that is started on this machine would offer; it is not started."""
    gpus = ray._private.accelerators.NvidiaGPUAcceleratorManager
    visible = gpus.get_current_process_visible_accelerator_ids()
    count = gpus.get_current_node_num_accelerators() if visible is None else len(visible)
    return {"CPU": ray._private.utils.get_num_cpus(), "GPU": count}


def places(cpus: int, gpus: float) -> int:
    """How many trials the live nodes take at once."""
    return sum(trials_on(node["Resources"], cpus, gpus) for node in ray.nodes() if node["Alive"])


def trials_on(offered: Mapping[str, float], cpus: int, gpus: float) -> int:
    """How many trials a node with these resources takes at once."""
    by_cpu = offered.get("CPU", 0) // cpus
    by_gpu = _fitting_gpus(offered.get("GPU", 0), gpus) if gpus else by_cpu
    return int(min(by_cpu, by_gpu))


def _fitting_gpus(offered: float, wanted: float) -> int:
    """Trials on a node's GPUs; a fraction cannot span two of them."""
    if wanted >= 1:
        return int(offered // wanted)
    return int(offered) * int(1 / wanted + 1e-9)
