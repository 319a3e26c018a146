"""Trials on Ray Tune: one machine or a cluster.

Tune places trials and asks: its searcher and its scheduler are thin adapters over
:class:`harness.search.search.Search`, which decides, also whether a trial whose worker is gone is
given out again. Nothing that Tune stores is ever read back; the journal is the truth.
"""

import json
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher

from harness.executors.executor import forget_stopped
from harness.executors.ray_cluster import last_line, places
from harness.executors.ray_worker import trainable
from harness.redaction import redacted
from harness.search.search import Pause, Search
from harness.search_stopped import SearchStopped
from harness.trial.trial import EpochReport, FinalReport, TrialContext
from saat.errors import one_line
from saat.wording import counted

log = logging.getLogger(__name__)
_RECOUNT_S = 3


class RayTuneExecutor:
    """See :class:`harness.executors.executor.Executor`.

    :func:`harness.executors.ray_cluster.connect` comes first.

    Args:
        cpus: CPUs of one trial.
        gpus: GPUs of one trial, may be a fraction.
        follow: let the search run as many trials at once as the cluster has places for, whatever
            nodes join and leave.
    """

    def __init__(self, cpus: int, gpus: float, follow: bool = False) -> None:
        self._cpus, self._gpus, self._follow = cpus, gpus, follow

    def run(
        self, search: Search, context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        """See :meth:`harness.executors.executor.Executor.run`."""
        del status  # workers are other processes; their epochs are what is known of them
        # Tune would hand the driver's AWS credentials to all workers; every node logs them then.
        ENV_VARS_TO_PROPAGATE.difference_update(
            {name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}
        )
        scheduler = _Scheduler(search, context)
        count = _Places(self._cpus, self._gpus, self._follow)
        resources = {"cpu": self._cpus, "gpu": self._gpus}
        # Tune's own threads may still write there when a search is interrupted.
        with tempfile.TemporaryDirectory(
            prefix="saat-tune-", ignore_cleanup_errors=True
        ) as storage:
            try:
                tune.Tuner(
                    tune.with_resources(
                        tune.with_parameters(trainable, context=asdict(context)), resources
                    ),
                    tune_config=tune.TuneConfig(
                        search_alg=_Searcher(search, scheduler, count),
                        scheduler=scheduler,
                        num_samples=-1,
                        reuse_actors=True,
                    ),
                    run_config=tune.RunConfig(
                        name=Path(context.run_dir).name,
                        storage_path=storage,
                        verbose=0,
                    ),
                ).fit()
            except Exception:
                if search.journal.error is not None:  # Tune keeps only the text of an error
                    raise search.journal.error from None
                raise
        if scheduler.stopped:
            raise SearchStopped(scheduler.stopped)


def _loss(error: str) -> tuple[str, bool]:
    """Why a worker is gone, in a line, and whether its node is gone with it.

    Args:
        error: what Tune wrote down of Ray's exception.
    """
    address = re.search(r"^\s*ip: (\S+)$", error, flags=re.MULTILINE)
    where = f" {address[1]}" if address else ""
    if "its node has died" in error:
        how = "was pre-empted" if "node was preempted" in error else "was lost"
        return f"node{where} {how}", True
    if "is unavailable:" in error:  # as a node looks that was killed, before Ray knows that it was
        return f"node{where} does not answer", True
    told = re.search("Worker exit detail: (.*)", error)
    if told is None and re.search(r'^\s*File ".*", line \d', error, flags=re.MULTILINE):
        return last_line(error), False  # a traceback: of an environment that lacks a module, say
    return one_line(redacted(told[1] if told else error), 200) or "no reason known", False


class _Adapter:
    """A copy is the thing itself, and a pickle is empty.

    Tune copies and pickles its searcher and scheduler for a restore that never happens here: the
    journal is the truth.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Adapter":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Places:
    """Counts the places of the cluster, every few seconds at most; tells when there are none.

    Args:
        cpus: of a trial.
        gpus: of a trial.
        follow: whether :meth:`limit` changes anything.
    """

    def __init__(self, cpus: int, gpus: float, follow: bool) -> None:
        self._cpus, self._gpus, self._follow = cpus, gpus, follow
        self._count, self._due = 1, 0.0

    def limit(self, search: Search) -> None:
        """Let a search run as many trials at once as there are places.

        At least one: a trial that waits for its place is what an autoscaler acts on.
        """
        if time.monotonic() >= self._due:
            before, self._count = self._count, places(self._cpus, self._gpus)
            self._due = time.monotonic() + _RECOUNT_S
            if before and not self._count:
                of_trial = f"{counted(self._cpus, 'CPU')} and {counted(self._gpus, 'GPU')}"
                log.warning("no node has %s for a trial now: waiting for one", of_trial)
        if self._follow:
            search.max_concurrent = max(1, self._count)


class _Searcher(_Adapter, TuneSearcher):
    """Hands Tune the trials that the search wants to run.

    Args:
        search: decides.
        scheduler: knows Tune's trials, and what is known of those that ended with an error.
        count: places of the cluster.
    """

    def __init__(self, search: Search, scheduler: "_Scheduler", count: _Places) -> None:
        super().__init__()
        self._search, self._scheduler, self._count = search, scheduler, count
        self._ours: dict[str, str] = {}  # Tune's trial id → ours, while Tune has told no end

    def suggest(self, trial_id: str) -> Any:
        """The next trial as a Tune config; None to wait; FINISHED at the end."""
        self._take_back()
        self._count.limit(self._search)
        spec = self._search.next_trial()
        if spec is Pause.WAIT:
            return None
        if isinstance(spec, Pause):
            return TuneSearcher.FINISHED
        self._ours[trial_id] = spec.trial_id
        return {"trial": asdict(spec)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """The search learns of ends from reports, but for a worker that is gone.

        To Tune the trial has failed then: one that is given out again is a new one for it. (Its
        own way of starting a trial again fails it for good when an idle worker dies that was kept
        for the next trial.)
        """
        ours = self._ours.pop(trial_id, None)  # Tune tells of some ends twice
        if error and ours and self._search.state.trials[ours].status == "running":
            self._search.on_lost(ours, *_loss(self._scheduler.errors.get(trial_id, "")))

    def _take_back(self) -> None:
        """Give out again what Tune has dropped without telling; the search would wait for ever."""
        for trial_id in self._scheduler.dropped(self._ours):
            ours = self._ours.pop(trial_id)
            if self._search.state.trials[ours].status == "running":
                self._search.on_lost(ours, "Tune dropped it: its worker was not free", node=False)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing to save."""


class _Scheduler(_Adapter, FIFOScheduler):
    """Carries reports to the search and its decisions back."""

    def __init__(self, search: Search, context: TrialContext) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search, self._context = search, context
        self._trials: dict[str, Trial] = {}  # by Tune's ids, as are the errors
        self.stopped = ""
        self.errors: dict[str, str] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Remember Tune's trial: its status tells of an end that nobody else is told of."""
        self._trials[trial.trial_id] = trial

    def dropped(self, live: Iterable[str]) -> list[str]:
        """Which of the trials that are thought to be live have ended in Tune."""
        ends = (Trial.ERROR, Trial.TERMINATED)
        return [i for i in live if i in self._trials and self._trials[i].status in ends]

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep what is known of the error; the searcher hears of it next, without a reason."""
        if trial.error_file is not None:
            self.errors[trial.trial_id] = Path(trial.error_file).read_text(errors="replace")

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """An epoch, an end, a failure, or a disk that is full."""
        trial_id, kind, report = result["trial"], result["kind"], json.loads(result["report"])
        if self.stopped:
            return str(TrialScheduler.STOP)
        if kind == "epoch":
            if not self._search.on_epoch(trial_id, EpochReport(**report)):
                return str(TrialScheduler.CONTINUE)
            forget_stopped(self._context, trial_id)
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
