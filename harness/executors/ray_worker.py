"""A trial in a worker process of Ray.

A module of its own, so that a worker does not import samplers.
"""

import os
from typing import Any

from ray import tune

from harness.executors.executor import TrialFailed, reports_of
from harness.search_stopped import SearchStopped
from harness.trial.interface import TrialContext


def trainable(config: dict[str, Any], context: TrialContext) -> None:
    """Run a trial, and send every report to the driver, or the exception that ended the trial.

    ``config`` has a :class:`harness.trial.interface.TrialSpec` under ``trial``.
    """
    # Tune waits so long for the thread of a worker's former trial, 2 s by default, and then drops
    # the next trial and the worker (FunctionTrainable.reset).
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
    spec = config["trial"]
    try:
        for report in reports_of(spec, context):
            tune.report({"trial": spec.trial_id, "report": report})
    except (TrialFailed, SearchStopped) as error:
        # A fresh one: Tune keeps it, and a traceback would keep the trial's tensors.
        tune.report({"trial": spec.trial_id, "report": type(error)(str(error))})
