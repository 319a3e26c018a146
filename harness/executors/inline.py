"""Runs trials one after another in this process, without Ray."""

from collections.abc import Callable
from functools import partial

from harness.executors.executor import TrialFailed, delete_checkpoints, reports_of
from harness.search.search import Pause, Search
from harness.trial.interface import FinalReport, TrialContext


class InlineExecutor:
    """See :class:`harness.executors.executor.Executor`."""

    def run(
        self, search: Search, context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        """See :meth:`harness.executors.executor.Executor.run`."""
        while not isinstance(spec := search.next_trial(), Pause):
            name = spec.trial_id
            try:
                for report in reports_of(spec, context, partial(status, name)):
                    if isinstance(report, FinalReport):
                        search.on_final(name, report)
                    elif search.on_epoch(name, report):
                        delete_checkpoints(context, name)
                        break
            except TrialFailed as error:
                search.on_failure(name, str(error))
