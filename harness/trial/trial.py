"""One trial from end to end: pretrain or fetch, minimax training, re-attack.

Framework-free: a generator of reports that any executor can drive. A trial that is started again
in the same folder continues from its last durable epoch, to the same bits (on a CPU). One that
runs out of memory is started again here, once, with its batches split.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from harness.files import write_json
from harness.trial import out_of_memory
from harness.trial.attempt import Status, TrialAttempt
from harness.trial.interface import EpochReport, FinalReport, TrialContext, TrialSpec, trial_folder
from harness.trial.lease import Lease
from harness.trial.records import read_record, record_of
from saat import memory
from saat.errors import InputError, one_line
from saat.training import TrainingFailed

log = logging.getLogger(__name__)


def run_trial(
    spec: TrialSpec, context: TrialContext, status: Status | None = None
) -> Iterator[EpochReport | FinalReport]:
    """Run or continue a trial; ``status`` is called with a short line on what is happening.

    Yields:
        Every epoch in order, those of earlier attempts included, then the end.

    Raises:
        saat.training.TrainingFailed: a loss that is not finite; memory that ran out twice.
        OSError: the disk is full; what was finished stays.
    """
    folder = trial_folder(context, spec.trial_id)
    # An earlier worker that is cut off from its driver may still run. One may write at a time.
    with Lease(folder, takes_over=True) as lease:
        finished = _finished(folder)
        yield from finished or _attempts(spec, context, status or (lambda _: None), lease)


def _finished(folder: Path) -> list[EpochReport | FinalReport]:
    """The whole history of a finished trial; empty if the trial has to continue."""
    path = folder / "result.json"
    if not os.path.lexists(path):
        return []
    try:
        content = read_record(path, _Result)
    except InputError as error:
        log.warning("damaged result skipped, so the trial is run again: %s", error)
        return []
    history = [EpochReport(**record) for record in content.pop("history")]
    return [*history, FinalReport(**content)]


_Result = record_of(FinalReport, history=(list[record_of(EpochReport)], ...))  # type: ignore[misc]


def _attempts(
    spec: TrialSpec, context: TrialContext, say: Status, lease: Lease
) -> Iterator[EpochReport | FinalReport]:
    """Run the trial; if memory runs out, once more from its last durable epoch."""
    # Written when memory runs out for the first time, in any attempt.
    marker = trial_folder(context, spec.trial_id) / "out_of_memory.json"
    reported = 0
    while True:
        again = marker.exists()
        trial: TrialAttempt | None = None
        try:
            trial = TrialAttempt(spec, context, say, lease, split=again)
            for report in trial.run():
                if isinstance(report, FinalReport):
                    yield report
                elif report.epoch > reported:
                    reported = report.epoch
                    yield report
            return
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            stage = None if trial is None else trial.training
            failure = out_of_memory.failure(stage, context.device, context.gpu_share < 1)
            problem = one_line(error, 200)
        del trial, stage
        memory.release()
        if again:
            raise TrainingFailed(f"{failure} ({problem})")
        write_json(marker, {"error": problem})
        say("out of memory; starting again with split batches")
