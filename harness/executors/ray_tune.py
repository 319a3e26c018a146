"""Trials on Ray Tune: one machine or a cluster.

Tune places trials, restarts them when a worker dies, and asks: its searcher and its scheduler are
thin adapters over :class:`harness.search.Search`, which decides. Nothing that Tune stores is ever
read back; the journal is the truth.
"""

import json
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher

from harness.executors.executor import SearchStopped, TrialFailed, reports_of
from harness.search import Pause, Search
from harness.trial import EpochReport, FinalReport, TrialContext, TrialSpec
from saat.errors import InputError, one_line

# A worker that dies takes its trial back to the last durable epoch, this many times.
_MAX_WORKER_DEATHS = 4
_KNOCK_S = 10
_OBJECT_STORE_BYTES = 256 * 1024**2  # nothing large travels through Ray


def connect(address: str | None, cpus: int | None = None) -> None:
    """Connect to a cluster, or start Ray on this machine.

    Raises:
        InputError: no cluster answers at ``address``.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # The driver has its own handlers for both signals; Tune's would swallow the first Ctrl-C.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **quiet,
            )
    except (OSError, ValueError, RuntimeError) as error:
        if address:
            reason = one_line(error, 160)
            raise InputError(f"--address {address}: no Ray cluster answers ({reason})") from None
        raise
    # Ray takes SIGTERM over and aborts on it; the driver wants to end in order.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_term)


def _knock(address: str) -> None:
    """See that something listens at ``host:port``; Ray itself would try for minutes.

    Raises:
        OSError: nothing does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()


def check_request(cpus: int, gpus: float) -> int:
    """How many trials fit at once.

    Raises:
        InputError: no node can ever place one trial (Tune would wait for ever).
    """
    fitting = 0
    best: dict[str, float] = {"CPU": 0, "GPU": 0}
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        has = node["Resources"]
        best = {kind: max(best[kind], has.get(kind, 0)) for kind in best}
        by_cpu = has.get("CPU", 0) // cpus
        by_gpu = _fitting_gpus(has.get("GPU", 0), gpus) if gpus else by_cpu
        fitting += int(min(by_cpu, by_gpu))
    if fitting < 1:
        raise InputError(
            f"resources: {cpus} CPUs and {gpus:g} GPUs per trial, but the largest node offers "
            f"{best['CPU']:g} CPUs and {best['GPU']:g} GPUs"
        )
    return fitting


def _fitting_gpus(offered: float, wanted: float) -> int:
    """Trials on a node's GPUs; a fraction cannot span two of them."""
    if wanted >= 1:
        return int(offered // wanted)
    return int(offered) * int(1 / wanted + 1e-9)


class RayTuneExecutor:
    """See :class:`harness.executors.executor.Executor`; :func:`connect` comes first.

    Args:
        cpus: CPUs of one trial.
        gpus: GPUs of one trial, may be a fraction.
    """

    def __init__(self, cpus: int, gpus: float) -> None:
        self._resources = {"cpu": cpus, "gpu": gpus}

    def run(
        self, search: Search, context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        """See :meth:`harness.executors.executor.Executor.run`."""
        del status  # workers are other processes; their epochs are what is known of them
        scheduler = _Scheduler(search)
        with tempfile.TemporaryDirectory(prefix="saat-tune-") as storage:
            try:
                tune.Tuner(
                    tune.with_resources(
                        tune.with_parameters(_trainable, context=asdict(context)), self._resources
                    ),
                    tune_config=tune.TuneConfig(
                        search_alg=_Searcher(search),
                        scheduler=scheduler,
                        num_samples=-1,
                        reuse_actors=True,
                    ),
                    run_config=tune.RunConfig(
                        name=Path(context.run_dir).name,
                        storage_path=storage,
                        failure_config=tune.FailureConfig(max_failures=_MAX_WORKER_DEATHS),
                        verbose=0,
                    ),
                ).fit()
            except Exception:
                if search.journal.error is not None:  # Tune keeps only the text of an error
                    raise search.journal.error from None
                raise
        if scheduler.stopped:
            raise SearchStopped(scheduler.stopped)


def _trainable(config: dict[str, Any], context: dict[str, Any]) -> None:
    """A trial in a worker process: every report of the generator goes to the driver."""
    spec = TrialSpec(**config["trial"])
    try:
        for report in reports_of(spec, TrialContext(**context)):
            kind = "epoch" if isinstance(report, EpochReport) else "final"
            _send(spec, kind, asdict(report))
    except TrialFailed as error:
        _send(spec, "failed", str(error))
    except SearchStopped as error:
        _send(spec, "halt", str(error))


def _send(spec: TrialSpec, kind: str, report: Any) -> None:
    # As one string: Tune flattens nested results into keys of its own.
    tune.report({"trial": spec.trial_id, "kind": kind, "report": json.dumps(report)})


class _Adapter:
    """A copy is the thing itself, and a pickle is empty.

    Tune copies and pickles its searcher and scheduler for a restore that never happens here: the
    journal is the truth.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Adapter":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Searcher(_Adapter, TuneSearcher):
    """Hands Tune the trials that the search wants to run."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search
        self._ours: dict[str, str] = {}  # Tune's trial id → ours

    def suggest(self, trial_id: str) -> Any:
        """The next trial as a Tune config; None to wait; FINISHED at the end."""
        spec = self._search.next_trial()
        if spec is Pause.WAIT:
            return None
        if isinstance(spec, Pause):
            return TuneSearcher.FINISHED
        self._ours[trial_id] = spec.trial_id
        return {"trial": asdict(spec)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The search learns of ends from reports, but for a worker that died once too often.

        The scheduler hears of every death, those that Tune recovers from included.
        """
        ours = self._ours[trial_id]
        if error and self._search.state.trials[ours].status == "running":
            deaths = _MAX_WORKER_DEATHS + 1
            self._search.on_failure(ours, f"its worker process died {deaths} times")

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save."""


class _Scheduler(_Adapter, FIFOScheduler):
    """Carries reports to the search and its decisions back."""

    def __init__(self, search: Search) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search = search
        self.stopped = ""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """An epoch, an end, a failure, or a disk that is full."""
        trial_id, kind, report = result["trial"], result["kind"], json.loads(result["report"])
        if self.stopped:
            return str(TrialScheduler.STOP)
        if kind == "epoch":
            if not self._search.on_epoch(trial_id, EpochReport(**report)):
                return str(TrialScheduler.CONTINUE)
            return str(TrialScheduler.STOP)
        if kind == "halt":
            self.stopped = report
            tune_controller.request_stop_experiment()
            return str(TrialScheduler.STOP)
        if kind == "final":
            self._search.on_final(trial_id, FinalReport(**report))
        else:
            self._search.on_failure(trial_id, report)
        return str(TrialScheduler.STOP)
