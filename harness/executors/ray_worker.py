"""A trial in a worker process of Ray.

A module of its own, so that a worker does not import samplers.
"""

import json
import os
from dataclasses import asdict
from typing import Any

from ray import tune

from harness.executors.executor import TrialFailed, reports_of
from harness.search_stopped import SearchStopped
from harness.trial.interface import EpochReport, TrialContext, TrialSpec, decode


def trainable(config: dict[str, str], context: str) -> None:
    """Run a trial, and send every report to the driver.

    Args:
        config: under ``trial`` an encoded :class:`harness.trial.interface.TrialSpec`.
        context: an encoded :class:`harness.trial.interface.TrialContext`.
    """
    # Tune waits so long for the thread of a worker's former trial, 2 s by default, and then drops
    # the next trial and the worker (FunctionTrainable.reset).
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
    spec = decode(TrialSpec, config["trial"])
    try:
        for report in reports_of(spec, decode(TrialContext, context)):
            kind = "epoch" if isinstance(report, EpochReport) else "final"
            _send(spec, kind, asdict(report))
    except TrialFailed as error:
        _send(spec, "failed", str(error))
    except SearchStopped as error:
        _send(spec, "halt", str(error))


def _send(spec: TrialSpec, kind: str, report: Any) -> None:
    # As one string: Tune flattens nested results into keys of its own.
    tune.report({"trial": spec.trial_id, "kind": kind, "report": json.dumps(report)})
