"""Runs trials one after another in this process, without Ray."""

from collections.abc import Callable

from harness.executors.executor import TrialFailed, delete_checkpoints, reports_of
from harness.search.search import Pause, Search
from harness.trial.trial import FinalReport, TrialContext, TrialSpec


class InlineExecutor:
    """See :class:`harness.executors.executor.Executor`."""

    def run(
        self, search: Search, context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        """See :meth:`harness.executors.executor.Executor.run`."""
        while not isinstance(spec := search.next_trial(), Pause):
            try:
                self._run_one(search, spec, context, status)
            except TrialFailed as error:
                search.on_failure(spec.trial_id, str(error))

    @staticmethod
    def _run_one(
        search: Search,
        spec: TrialSpec,
        context: TrialContext,
        status: Callable[[str, str], None],
    ) -> None:
        for report in reports_of(spec, context, lambda text: status(spec.trial_id, text)):
            if isinstance(report, FinalReport):
                search.on_final(spec.trial_id, report)
            elif search.on_epoch(spec.trial_id, report):
                delete_checkpoints(context, spec.trial_id)
                return
