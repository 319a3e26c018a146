"""The interface of executors: they run what a search decides."""

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from harness.redaction import redacted
from harness.search_stopped import SearchStopped
from harness.trial.interface import EpochReport, FinalReport, TrialContext, TrialSpec, trial_folder
from harness.trial.trial import run_trial
from saat import checkpoints
from saat.errors import one_line
from saat.training import TrainingFailed

if TYPE_CHECKING:  # a worker needs no sampler, and its libraries take seconds to import
    from harness.search.search import Search


class Executor(Protocol):
    """Runs the trials of a search until it is done.

    One contract suite checks three rules. A trial that the search stops does no further epoch. A
    trial that fails is reported as failed, with its reason, and the others go on. A full disk
    raises :class:`SearchStopped`.
    """

    def run(
        self, search: "Search", context: TrialContext, status: Callable[[str, str], None]
    ) -> None:
        """Run until :meth:`Search.next_trial` is done; ``search`` is called from one thread only.

        ``status`` is called with (trial id, what it is doing), if the executor knows.
        """


class TrialFailed(Exception):
    """A trial that cannot go on; the message is its reason, in one line."""


def reports_of(
    spec: TrialSpec, context: TrialContext, status: Callable[[str], None] | None = None
) -> Iterator[EpochReport | FinalReport]:
    """Reports of a trial, with every failure as :class:`TrialFailed` or :class:`SearchStopped`.

    The traceback of an unexpected error goes to ``error.log`` in the trial's folder.
    """
    try:
        yield from run_trial(spec, context, status)
    except TrainingFailed as error:
        raise TrialFailed(one_line(error)) from error
    except Exception as error:
        stop_if_full(error, context.run_dir)
        raise TrialFailed(_write_error_log(spec, context, error)) from error


def delete_checkpoints(context: TrialContext, trial_id: str) -> None:
    """Delete the checkpoints of a trial that the search stopped.

    With their optimizer states they would be most of what a long search leaves on the disk.
    """
    with suppress(OSError):
        checkpoints.delete(checkpoints.folder_of(trial_folder(context, trial_id)))


def stop_if_full(error: Exception, folder: str) -> None:
    """Raise :class:`SearchStopped` if ``error`` is a full disk or quota."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise SearchStopped(f"no space left on the disk of {error.filename or folder}") from error


def _write_error_log(spec: TrialSpec, context: TrialContext, error: Exception) -> str:
    """Write the traceback to the trial's folder; returns the reason, with the file's name."""
    path = trial_folder(context, spec.trial_id) / "error.log"
    reason = f"{type(error).__name__}: {one_line(redacted(error), 160)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(redacted("".join(traceback.format_exception(error))), encoding="utf-8")
    except OSError as log_error:
        stop_if_full(log_error, context.run_dir)
        return f"{reason} (no {path.parent.name}/{path.name}: {one_line(log_error, 80)})"
    return f"{reason} (see {path.parent.name}/{path.name})"
