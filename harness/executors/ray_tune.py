"""Trials on Ray Tune: one machine or a cluster.

Tune places the trials. Its searcher and its scheduler are thin adapters over
:class:`harness.search.search.Search`, which decides everything, also whether a trial whose worker
was lost runs again. Nothing that Tune stores is ever read back: the journal is the truth.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher

from harness.executors.executor import TrialFailed, delete_checkpoints
from harness.executors.ray_errors import error_of, why_worker_lost
from harness.executors.ray_slots import SlotCounter
from harness.executors.ray_worker import trainable
from harness.search.search import Pause, Search
from harness.search_stopped import SearchStopped
from harness.trial.interface import FinalReport, TrialContext


class RayTuneExecutor:
    """See :class:`harness.executors.executor.Executor`.

    Call :func:`harness.executors.ray_cluster.connect` first. With ``follow`` as many trials run at
    once as the cluster has slots of this size, while nodes join and leave.
    """

    def __init__(self, cpus: int, gpus: float, follow: bool = False) -> None:
        self._cpus, self._gpus, self._follow = cpus, gpus, follow

    def run(
        self, search: Search, context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        """See :meth:`harness.executors.executor.Executor.run`."""
        del status  # workers are other processes, and report epochs only
        # Tune would send the driver's AWS credentials to all workers, whose nodes would log them.
        ENV_VARS_TO_PROPAGATE.difference_update(
            {name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
        )
        scheduler = _Scheduler(search, context)
        searcher = _Searcher(search, scheduler, SlotCounter(self._cpus, self._gpus), self._follow)
        trial = tune.with_parameters(trainable, context=context)
        config = tune.TuneConfig(
            search_alg=searcher, scheduler=scheduler, num_samples=-1, reuse_actors=True
        )
        name = Path(context.run_dir).name
        # Tune's threads may still write there when a search is interrupted.
        with tempfile.TemporaryDirectory(
            prefix="saat-tune-", ignore_cleanup_errors=True
        ) as storage:
            try:
                tune.Tuner(
                    tune.with_resources(trial, {"cpu": self._cpus, "gpu": self._gpus}),
                    tune_config=config,
                    run_config=tune.RunConfig(name=name, storage_path=storage, verbose=0),
                ).fit()
            except Exception:
                if search.journal.error is not None:  # Tune keeps only the error's text
                    raise search.journal.error from None
                raise
        if scheduler.stopped:
            raise SearchStopped(scheduler.stopped)


class _Adapter:
    """Copying returns the same object, and pickling stores nothing.

    Tune copies and pickles its searcher and scheduler for a restore that never happens here.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Adapter":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Searcher(_Adapter, TuneSearcher):
    """Gives Tune the trials that the search wants to run."""

    def __init__(
        self, search: Search, scheduler: "_Scheduler", slots: SlotCounter, follow: bool
    ) -> None:
        super().__init__()
        self._search, self._scheduler = search, scheduler
        self._slots, self._follow = slots, follow

    def suggest(self, trial_id: str) -> Any:
        """The next trial as a Tune config; None to wait."""
        self._scheduler.lose_dropped_trials()
        slots = self._slots.count()
        if self._follow:  # at least one: an autoscaler acts on a trial that waits
            self._search.max_concurrent = max(1, slots)
        spec = self._search.next_trial()
        if spec is Pause.WAIT:
            return None
        if isinstance(spec, Pause):
            return TuneSearcher.FINISHED
        return {"trial_id": spec.trial_id, "trial": spec}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing to do: Tune calls the scheduler as well, which handles the end."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save."""


class _Scheduler(_Adapter, FIFOScheduler):
    """Carries reports to the search, and its decisions back.

    A trial whose worker is lost has failed for Tune; the search gives it out again as a new one.
    Tune's own restart is not used: it fails the trial for good if the worker that it was to reuse
    died while it was idle.
    """

    def __init__(self, search: Search, context: TrialContext) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search, self._context = search, context
        self._running: dict[str, Trial] = {}  # by Tune's ids
        self.stopped = ""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._running[trial.trial_id] = trial

    def lose_dropped_trials(self) -> None:
        """Count trials as lost that Tune has ended without a call; the search would wait for ever.

        Tune (``TuneController._on_trial_reset``) does so when a worker that it reuses has not
        finished its former trial in time.
        """
        for trial in list(self._running.values()):
            if trial.status in (Trial.ERROR, Trial.TERMINATED):
                self._lose(trial, "Tune dropped it: its worker was not free", node=False)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """The worker of a trial is lost; failures of the trial itself are reports."""
        self._lose(trial, *why_worker_lost(error_of(trial)))

    def _lose(self, trial: Trial, reason: str, node: bool) -> None:
        if self._running.pop(trial.trial_id, None) is None:
            return
        trial_id = trial.config["trial_id"]
        if self._search.state.trials[trial_id].status == "running":
            self._search.on_lost(trial_id, reason, node)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        trial_id, report = result["trial"], result["report"]
        if self.stopped:
            return str(TrialScheduler.STOP)
        if isinstance(report, SearchStopped):
            self.stopped = str(report)
            tune_controller.request_stop_experiment()
        elif isinstance(report, TrialFailed):
            self._search.on_failure(trial_id, str(report))
        elif isinstance(report, FinalReport):
            self._search.on_final(trial_id, report)
        elif self._search.on_epoch(trial_id, report):
            delete_checkpoints(self._context, trial_id)
        else:
            return str(TrialScheduler.CONTINUE)
        return str(TrialScheduler.STOP)
