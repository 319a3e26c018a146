"""What Ray's errors mean, in one line."""

import re

from ray.exceptions import ActorUnavailableError, RayActorError

from harness.redaction import redacted
from saat.errors import one_line


def last_line(error: object) -> str:
    """The error itself, which is the last line of the traceback in Ray's message."""
    lines = str(error).strip().splitlines()
    return one_line(redacted(lines[-1] if lines else type(error).__name__), 160)


def why_worker_lost(error: Exception | str) -> tuple[str, bool]:
    """Why a worker was lost, and whether its node was lost with it.

    Ray's message alone tells that a node died, its address, and how a worker ended.

    Args:
        error: Ray's exception, or its text where Tune kept no more of it.
    """
    message = str(error)
    of_actor = isinstance(error, RayActorError)
    address = re.search(r"^\s*ip: (\S+)$", message, flags=re.MULTILINE)
    where = f" {address[1]}" if address else ""
    if of_actor and error.preempted:
        return f"node{where} was pre-empted", True
    if isinstance(error, ActorUnavailableError):  # a killed node, before Ray knows that
        return f"node{where} does not answer", True
    if "its node has died" in message:
        return f"node{where} was lost", True
    if of_actor and error.actor_init_failed:  # a missing module, for example
        return last_line(message), False
    detail = re.search("Worker exit detail: (.*)", message)
    return one_line(redacted(detail[1] if detail else message), 200) or "no reason known", False
