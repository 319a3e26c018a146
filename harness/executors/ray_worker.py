"""What runs in a worker process of Ray: a trial, and nothing of the search that decides.

A module of its own, so that a worker does not import samplers before its first step.
"""

import json
import os
from dataclasses import asdict
from typing import Any

from ray import tune

from harness.executors.executor import TrialFailed, reports_of
from harness.search_stopped import SearchStopped
from harness.trial.interface import EpochReport, TrialContext, TrialSpec


def trainable(config: dict[str, Any], context: dict[str, Any]) -> None:
    """A trial in a worker process: every report of the generator goes to the driver."""
    # So long Tune waits between two trials for the thread of the first to end, of its own accord
    # 2 s. When it has waited in vain it drops the second, and its worker with it.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
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
