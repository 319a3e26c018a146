"""What Ray's errors mean, in one line."""

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ray import cloudpickle
from ray.exceptions import ActorUnavailableError, RayActorError

from harness.redaction import redacted
from saat.errors import one_line

if TYPE_CHECKING:  # takes seconds, and `saat preflight` needs no Tune
    from ray.tune.experiment import Trial


def last_line(error: object) -> str:
    """The error itself, which is the last line of the traceback in Ray's message."""
    lines = str(error).strip().splitlines()
    return one_line(redacted(lines[-1] if lines else type(error).__name__), 160)


def error_of(trial: "Trial") -> Exception | str:
    """The error that ended a trial: Ray's exception, or its text where Tune kept no more of it.

    Tune tells schedulers neither; both lie in files of the driver.
    """
    if trial.pickled_error_file is not None:
        with suppress(Exception):  # it may hold what the driver cannot import
            error: Exception = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
            return error
    return "" if trial.error_file is None else Path(trial.error_file).read_text(errors="replace")


def why_worker_lost(error: Exception | str) -> tuple[str, bool]:
    """Why a worker was lost, and whether its node was lost with it.

    That a node died, its address, and how a worker ended stand in Ray's message alone: Ray 2.60
    makes it of an ``ActorDiedErrorContext`` with such fields, which the error does not keep.
    """
    message = str(error)
    actor = error if isinstance(error, RayActorError) else None
    address = re.search(r"^\s*ip: (\S+)$", message, flags=re.MULTILINE)
    where = f" {address[1]}" if address else ""
    if actor and actor.preempted:
        return f"node{where} was pre-empted", True
    if isinstance(error, ActorUnavailableError):  # a killed node, before Ray knows that
        return f"node{where} does not answer", True
    if "its node has died" in message:
        return f"node{where} was lost", True
    detail = re.search("Worker exit detail: (.*)", message)
    if detail is None and (actor.actor_init_failed if actor else '\n  File "' in message):
        return last_line(message), False  # a traceback, of a missing module for example
    return one_line(redacted(detail[1] if detail else message), 200) or "no reason known", False
